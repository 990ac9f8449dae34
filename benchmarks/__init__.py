"""Scripts that measure. `python -m benchmarks` runs them all and keeps what they found in benchmarks/results."""
