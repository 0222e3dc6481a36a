"""The ARC CE plugin: jobs as xRSL, pushed through the REST interface of A-REX with pyarcrest's protocol classes."""
