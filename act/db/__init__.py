"""The database: engine and one module per table. SQL lives here and in the plugins' own ``db.py``."""
