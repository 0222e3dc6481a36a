"""REST over the jobs that people submit: `app` puts the parts together, `server` serves them."""
