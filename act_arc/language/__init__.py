"""The languages of job descriptions of ARC: xRSL and ADL, as users write them."""
