"""Benchmarks: ratios against a peer, from runs that take turns on one machine."""
