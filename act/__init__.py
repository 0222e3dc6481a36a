"""aCT: a push-mode control tower for grid computing."""

__version__ = "0.1.0"
