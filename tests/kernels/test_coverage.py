"""What shows of boxes and points, against pixels counted one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augdrop.annotations.visibility import inside
from augdrop.kernels.coverage import shown
from tests.regions.cases import regions_of

REGIONS = regions_of((20, 31))
# Edges in eighths: inside, on and off the canvas, and exact in floating point.
eighths = st.integers(-24, 24 * 8).map(lambda n: n / 8)


def overlap(mask, x0, y0, x1, y1):
    """Area of a box on dropped pixels, pixel by pixel."""
    total = 0.0
    for y, x in zip(*np.nonzero(mask), strict=True):
        total += max(0.0, min(x + 1, x1) - max(x, x0)) * max(0.0, min(y + 1, y1) - max(y, y0))
    return total


@settings(max_examples=150, derandomize=True)
@given(st.sampled_from(sorted(REGIONS)), st.lists(st.tuples(*[eighths] * 4), min_size=1, max_size=4), st.booleans())
def test_areas_are_exact(name, corners, where):
    dropped = REGIONS[name].mask()[0]
    boxes = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners]
    areas, seen, _ = shown(torch.tensor(boxes), dropped, where)
    for i, box in enumerate(boxes):
        clipped = [min(max(edge, 0), (31, 20)[axis % 2]) for axis, edge in enumerate(box)]
        assert areas[i].item() == (clipped[2] - clipped[0]) * (clipped[3] - clipped[1])
        assert seen[i].item() == pytest.approx(overlap((dropped == where).numpy(), *clipped), abs=1e-9)


@settings(max_examples=100, derandomize=True)
@given(st.sampled_from(sorted(REGIONS)), st.tuples(st.floats(-3, 36), st.floats(-3, 24)))
def test_a_point_is_on_the_pixel_under_it(name, point):
    dropped = REGIONS[name].mask()[0]
    x, y = (int(np.floor(v)) for v in point)
    on = 0 <= x < 31 and 0 <= y < 20
    assert inside(torch.tensor([point], dtype=torch.float64), dropped).tolist() == [on and bool(dropped[y, x])]
