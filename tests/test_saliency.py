"""Score maps by the spectrum: compiled passes on the CPU, operations of torch elsewhere."""

from __future__ import annotations

import pytest
import torch
from skimage import data

import augdrop as ad
from augdrop import saliency
from augdrop.saliency import spectral_residual


def test_saliency_finds_the_odd_patch():
    generator = torch.Generator().manual_seed(0)
    # Waves in one direction, and a patch of waves in the other: what the spectrum does not expect.
    wave = (torch.arange(128) * 0.8).sin()
    x = wave.expand(6, 3, 128, 128) + 0.05 * torch.randn(6, 3, 128, 128, generator=generator)
    for b in range(6):
        x[b, :, 20 * b : 20 * b + 16, 56:72] = wave[:16, None]
    rows = spectral_residual(x).flatten(1).argmax(1) // 64
    assert ((rows * 2 - torch.arange(6) * 20 - 8).abs() < 16).all()


@pytest.mark.parametrize("size", [64, 33, 7])
@pytest.mark.parametrize(
    "shape", [(3, 3, 224, 224), (2, 3, 97, 130), (2, 1, 32, 32), (2, 4, 3, 50, 70)], ids=lambda s: "x".join(map(str, s))
)
def test_compiled_passes_are_what_torch_computes(shape, size):
    photograph = torch.from_numpy(data.astronaut()).movedim(-1, 0)[:1, 100:, 150:].float()
    x = torch.stack(
        [photograph[..., 7 * b : 7 * b + shape[-2], : shape[-1]].expand(shape[1:]) for b in range(shape[0])]
    )
    there = saliency._residual(x, size, saliency._gaussian(size / 25, size - 1, x.device))
    torch.testing.assert_close(spectral_residual(x, size), there, rtol=1e-3, atol=1e-4 * there.max().item())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.bfloat16, torch.float64])
def test_a_map_knows_neither_its_batch_nor_how_it_lies_in_memory(dtype):
    x = torch.randint(0, 128, (9, 3, 50, 60), generator=torch.Generator().manual_seed(0)).to(dtype)
    maps = spectral_residual(x)
    assert maps.dtype == torch.float32 and maps.shape == (9, 64, 64)
    assert torch.equal(torch.cat([spectral_residual(image[None]) for image in x]), maps)
    assert torch.equal(spectral_residual(x.contiguous(memory_format=torch.channels_last)), maps)
    assert torch.equal(spectral_residual(x.float()), maps)


def test_nothing_and_no_contrast():
    assert spectral_residual(torch.zeros(0, 3, 8, 8)).shape == (0, 64, 64)
    assert not spectral_residual(torch.zeros(2, 3, 40, 40)).any()
    with pytest.raises(ad.AugDropError, match="size: got 1; expected a whole number >= 2"):
        spectral_residual(torch.zeros(2, 3, 8, 8), size=1)
