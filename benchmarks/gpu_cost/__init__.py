"""What a transform costs a GPU, counted on fake CUDA tensors: no GPU is needed, and none is timed.

`meter` runs a call and counts; `rules` says what an operator costs, `own` what AugDrop's kernels do; `rows` is who is
compared; `report` writes the tables. ``python -m benchmarks.gpu_cost`` does it all.
"""
