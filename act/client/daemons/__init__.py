"""The daemons of this application."""
