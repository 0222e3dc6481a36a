"""The language of job descriptions of HTCondor, as users write it."""
