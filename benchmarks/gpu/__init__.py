"""A GPU measured: is what its kernels paint right, and how far from a copy, from the peers and from a training step?

``python -m benchmarks.gpu`` on a machine with a GPU; without one it says so, and that is all.
"""
