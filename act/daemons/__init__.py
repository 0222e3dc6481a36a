"""Daemons: `base` runs them; the CE-facing ones are written once for every CE type."""
