"""Benchmarks: what the tower costs. Timing lives here and never in a test."""
