"""Speed and memory of AugDrop beside its peers, in one run: ``python -m benchmarks``."""
