"""Warm-up: afterwards nothing is left to load, and nothing else has changed."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import augdrop as ad

AFTERWARDS = """
import sys
import torch, augdrop as ad
from numba.core.dispatcher import Dispatcher
from numba.np.ufunc import parallel
from augdrop.kernels.walk import kernel

def loaded():
    modules = [m for name, m in sys.modules.items() if name.startswith("augdrop")]
    compiled = {v for m in modules for v in vars(m).values() if isinstance(v, Dispatcher)}
    return {d.__name__: len(d.overloads) for d in compiled} | {"kernels": kernel.cache_info().currsize}

t = ad.Compose([ad.RandomErasing(fill="noise"), ad.GridMask(p=0.5), ad.CutMix()], seed=0)
before = loaded()
ad.warmup(t, dtypes=(torch.uint8,))
ready = loaded()
assert ready != before
x = torch.zeros(3, 40, 48, dtype=torch.uint8)
for member in t.members[:2]:
    for image in (x, x):
        member(image), member(image, inplace=True)
t(x.repeat(4, 1, 1, 1))
assert loaded() == ready, [name for name, n in loaded().items() if n != ready[name]]
assert not parallel._is_initialized, "numba has threads of its own"
"""


def test_nothing_is_left_to_load():
    # A process of its own: this one has loaded everything long ago.
    subprocess.run([sys.executable, "-c", AFTERWARDS], check=True, timeout=300)


def test_transforms_and_the_generator_stay_as_they_are():
    t = ad.Cutout(9, p=ad.Ramp(1.0, epochs=10), seed=3)
    state, p = torch.get_rng_state(), t.p
    ad.warmup(t, ad.Compose([t, ad.Mixup(seed=0)], seed=1))
    assert torch.equal(torch.get_rng_state(), state)
    assert t.p is p and not t._lanes


def test_every_method_has_a_warm_up():
    ad.warmup(dtypes=(torch.uint8,))


def test_what_is_not_a_transform():
    with pytest.raises(ad.AugDropError, match="transforms of augdrop"):
        ad.warmup([ad.Cutout(4)])  # type: ignore[arg-type]
