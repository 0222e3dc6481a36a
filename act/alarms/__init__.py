"""What somebody has to look at now."""
