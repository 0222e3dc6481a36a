"""The daemons between PanDA and the attempts."""
