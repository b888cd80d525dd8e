"""Where the kernels cannot run: plain torch and one warning, or an error, and never a wrong result."""

from __future__ import annotations

import warnings
from contextlib import contextmanager

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from augdrop.errors import AugDropError
from augdrop.kernels import cuda, gpus
from augdrop.kernels.dispatch import apply, backends, use_backend
from augdrop.regions import Cells
from tests.helpers import plan_of
from tests.kernels.cases import FILLS, WHERES, alike, images, plan_for
from tests.kernels.gpu.cases import SMALL, check, needs_triton, there
from tests.kernels.gpu.test_ops import Launches

REASONS = {
    "no Triton": ((gpus, "find_spec", lambda name: None), "Triton is not installed"),
    "an AMD device": ((torch.version, "hip", "6.0"), "NVIDIA"),
    "an old device": ((gpus, "capability", lambda device: (7, 5)), r"\(7, 5\), and \(8, 0\)"),
}


@contextmanager
def fresh():
    """A process that has not warned yet."""
    for asked in (gpus.usable, gpus._too_large):
        asked.cache_clear()
    yield
    for asked in (gpus.usable, gpus._too_large):
        asked.cache_clear()


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("fill", ["constant", "noise per channel", "mean", "blur"])
def test_plain_torch_takes_over_and_says_so_once(monkeypatch, reason, fill):
    (place, name, value), message = REASONS[reason]
    monkeypatch.setattr(place, name, value)
    fake, plan = FakeTensorMode(allow_non_fake_inputs=True), plan_for(WHERES["boxes"], FILLS[fill], 3, SMALL)
    with fake:
        x = torch.empty(3, 3, *SMALL, device="cuda")
    with fresh(), Launches(fake) as seen:
        with pytest.warns(UserWarning, match=message):
            assert apply(x, plan).device == x.device
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            apply(x, plan, inplace=True)
    assert seen.launched == []


def test_a_device_that_is_new_enough(monkeypatch):
    monkeypatch.setattr(gpus, "capability", lambda device: (8, 0))
    monkeypatch.setattr(torch.version, "hip", None)
    with fresh(), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gpus.usable(torch.device("cuda:0")) == (gpus.find_spec("triton") is not None)


@needs_triton
@pytest.mark.parametrize("error", [RuntimeError("Failed to find C compiler."), PermissionError("~/.triton")])
def test_a_triton_that_does_not_start(monkeypatch, error):
    class Driver:
        @property
        def active(self):
            raise error

    monkeypatch.setattr("triton.runtime.driver", Driver())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpus, "capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.version, "hip", None)
    with fresh(), pytest.warns(UserWarning, match=f"Triton does not start here .{type(error).__name__}: {error}"):
        assert not gpus.usable(torch.device("cuda:0"))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1 << 16, 1 << 15), (1, 1, 3, 1 << 15, 30000), (1, 1, 1, 1, 1 << 22)])
def test_images_beyond_32_bits_are_left_to_plain_torch(shape):
    with fresh():
        with pytest.warns(UserWarning, match="2\\^31"):
            assert not gpus.fits(torch.empty(shape, device="meta"))
        assert gpus.fits(torch.empty(300, 8, 3, 4000, 4000, device="meta"))  # 64 bits from sample to sample


def test_an_image_with_rows_far_apart():
    far = torch.empty(1, device="meta").as_strided((1, 1, 1, 3, 5), (1, 1, 1, 1 << 30, 1))
    with fresh(), pytest.warns(UserWarning, match="2\\^31"):
        assert not gpus.fits(far)


@needs_triton
def test_cells_whose_numbers_pass_32_bits():
    x = torch.arange(70000 * 2).to(torch.uint8).view(1, 1, 70000, 2)
    cells = torch.arange(69999 * 2).view(1, 69999, 2) % 3 == 0
    check(x, plan_of(Cells.even((70000, 2), cells), hit=torch.tensor([True])))


def test_a_backend_that_does_not_work_here_cannot_be_asked_for(monkeypatch):
    monkeypatch.setattr(gpus, "available", lambda: False)
    assert backends() == ("reference", "cpu")
    with pytest.raises(AugDropError, match="Valid"), use_backend("cuda"):
        raise AssertionError


@needs_triton
def test_the_backend_for_gpus_leaves_other_devices_alone(monkeypatch):
    x, plan = images("contiguous", torch.float32, 3, SMALL), plan_for(WHERES["box"], FILLS["noise"], 3, SMALL)
    expected = apply(x, plan)
    monkeypatch.setattr(gpus, "interpreted", lambda: False)
    monkeypatch.setattr(cuda, "apply", None)
    monkeypatch.setattr(gpus, "available", lambda: True)
    with use_backend("cuda"):
        assert alike(apply(x, plan), expected)


@needs_triton
@pytest.mark.parametrize("backend", ["cpu", "cuda"])
def test_what_is_written_over_cannot_be_differentiated(backend):
    # Compiled code writes past autograd, which would otherwise take the new values for the old ones.
    x, weight = there(images("contiguous", torch.float32, 2, SMALL)), torch.ones((), requires_grad=True)
    y = (x * weight.to(x.device)).sum()
    with use_backend(backend):
        apply(x, plan_for(WHERES["box"], FILLS["constant"], 2, SMALL), inplace=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
