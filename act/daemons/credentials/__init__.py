"""Where proxies and tokens come from."""
