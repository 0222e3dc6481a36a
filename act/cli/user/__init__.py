"""actcli: jobs for scientists, over the web interface of the tower."""
