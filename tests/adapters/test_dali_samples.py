"""A batch as DALI hands it over: one tensor, wherever its samples lie."""

import numpy as np
import pytest
import torch
from nvidia.dali.python_function_plugin import ArrayToDLTensor

from augdrop.adapters.dali.samples import Samples


def capsules(arrays):
    return [ArrayToDLTensor(a) for a in arrays]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float16, np.float32, np.int64, np.bool_])
@pytest.mark.parametrize("shape", [(4, 5, 3), (1,), (), (0, 4)])
@pytest.mark.parametrize("together", [True, False])
def test_a_batch_is_seen_and_given_back(dtype, shape, together):
    values = np.random.default_rng(0).integers(0, 2, (3, *shape)).astype(dtype)
    whole = values.copy()
    arrays = list(whole) if together and shape else [np.array(v) for v in values]
    samples = Samples(capsules(arrays))
    assert samples.shapes.tolist() == [[*shape]] * 3
    assert samples.alike and samples.batch.numpy().tobytes() == values.tobytes()
    assert samples.batch.shape == (3, *shape) and samples.batch.dtype == torch.from_numpy(values).dtype
    samples.batch[1:] = 0
    samples.give_back()
    assert [a.any() for a in arrays] == [values[0].any(), False, False]


def test_samples_that_differ_stay_apart():
    samples = Samples(capsules([np.zeros((2, 3)), np.zeros((2, 4))]))
    assert not samples.alike and [tuple(t.shape) for t in samples.tensors()] == [(2, 3), (2, 4)]
    assert samples.shapes.dtype == np.int64 and samples.shapes.tolist() == [[2, 3], [2, 4]]
    assert not Samples(capsules([np.zeros(2, np.int32), np.zeros(2, np.float32)])).alike


@pytest.mark.parametrize("dtype", [np.int64, np.int32])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_integers_are_read_where_they_are(dtype, shape):
    values = np.array([7, -3, np.iinfo(dtype).max]).astype(dtype)
    read = Samples(capsules([np.full(shape, v) for v in values])).integers
    assert read is not None and read.dtype == np.int64 and read.tolist() == values.tolist()


@pytest.mark.parametrize(
    "arrays",
    [
        *([np.zeros(1, dtype)] * 2 for dtype in (np.uint8, np.int16, np.uint32, np.uint64, np.float64, np.bool_)),
        [np.zeros(2, np.int64)] * 2,
        [np.zeros(0, np.int64)] * 2,
        [np.zeros(1, np.int64), np.zeros(1, np.int32)],
        [np.zeros(1, np.int64), np.zeros((), np.int64)],
        [],
    ],
)
def test_everything_else_is_read_the_long_way(arrays):
    assert Samples(capsules(arrays)).integers is None
