"""Labels mixed by the GPU's kernel against plain torch, bit for bit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from augdrop import labels
from augdrop.kernels import ops
from augdrop.kernels.dispatch import use_backend
from tests.helpers import random_mix
from tests.kernels.cases import alike
from tests.kernels.gpu.cases import DEVICE, needs_triton, there

pytestmark = needs_triton
INDICES = (torch.uint8, torch.int16, torch.int32, torch.int64)
SOFT = (torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check(target, plan, **options):
    with use_backend("reference"):
        expected = labels.mix(target, plan, **options)
    options |= {"other": there(options["other"])} if "other" in options else {}
    with use_backend("cuda"):
        assert alike(labels.mix(there(target), plan, **options).cpu(), expected)


def targets(dtype, n, classes):
    values = torch.randn(n, classes, generator=torch.Generator().manual_seed(0)) * 3
    return values > 0 if dtype == torch.bool else values.abs().to(dtype)


@pytest.mark.parametrize("dtype", INDICES, ids=str)
@pytest.mark.parametrize("classes", [1, 10, 100, 1500])
def test_class_indices(dtype, classes):
    rng = np.random.default_rng(classes)
    target = torch.from_numpy(rng.integers(0, min(classes, 100), 7)).to(dtype)
    for smoothing, multi_label in itertools.product((0.0, 0.1), (False, True)):
        plan = random_mix(rng, 7, (12, 14))
        check(target, plan, num_classes=classes, smoothing=smoothing, multi_label=multi_label)


@pytest.mark.parametrize("dtype", SOFT, ids=str)
@pytest.mark.parametrize("classes", [1, 10, 1500])
def test_targets_for_every_class(dtype, classes):
    rng, wide = np.random.default_rng(classes), targets(dtype, 7, 2 * classes)
    for target, smoothing in itertools.product((wide[:, :classes].contiguous(), wide[:, ::2]), (0.0, 0.1)):
        check(target, random_mix(rng, 7, (12, 14)), smoothing=smoothing)


def test_partners_of_another_batch():
    plan, more = random_mix(np.random.default_rng(0), 5, (12, 14)), torch.arange(9) % 4
    check(torch.arange(5) % 4, plan, num_classes=4, other=more)
    check(targets(torch.float32, 5, 6), plan, other=targets(torch.float32, 9, 6))


def test_what_is_not_pasted_does_not_matter():
    target, whole = torch.tensor([[1.0, 0.0], [float("nan"), 0.0]]), torch.ones(2, dtype=torch.float64)
    swapped = torch.tensor([1, 0])
    mixed = ops.soft_labels(there(target), there(target), there(swapped), there(whole), 2, 1.0, 0.0).cpu()
    assert mixed[0].tolist() == [1.0, 0.0] and mixed[1, 0].isnan()


@pytest.mark.parametrize("wrong", [-1, 3, 255])
def test_a_class_or_partner_that_is_not_there_shows(wrong):
    # On the host it is an error; a device would have to be waited for.
    target, partner = torch.tensor([0, 1, 2, 0]), torch.tensor([1, 2, 3, 0])
    half = torch.full((4,), 0.5, dtype=torch.float64)
    for classes, partners in (
        (torch.where(target == 2, wrong, target), partner),
        (target, torch.where(partner == 2, 4, partner)),
    ):
        given = (there(classes), there(classes), there(partners), there(half))
        mixed = ops.soft_labels(*given, 3, 1.0, 0.0).cpu()
        rows = mixed.isnan().any(1).tolist()
        assert rows == ([False, True, True, False] if classes is not target else [False, True, False, False])
        assert mixed[0].tolist() == [0.5, 0.5, 0.0]


def test_targets_of_a_teacher_keep_their_gradient():
    target = there(targets(torch.float32, 4, 3)).requires_grad_()
    with use_backend("cuda"):
        labels.mix(target, random_mix(np.random.default_rng(0), 4, (8, 8))).sum().backward()
    torch.testing.assert_close(target.grad.sum().cpu(), torch.tensor(12.0))


def test_nothing_is_no_launch():
    none = torch.empty(0, dtype=torch.float64, device=DEVICE)
    assert ops.soft_labels(none.long(), none.long(), None, none, 5, 1.0, 0.0).shape == (0, 5)
