"""Compositions whose members differ in ``per_frame``: some decide for each sample, others for each of its frames."""

from __future__ import annotations

import pytest
import torch
from torchvision import tv_tensors

import augdrop as ad

B, T = 8, 4
ERASED = -1
CUT, EACH = ad.CutMix(num_classes=B), ad.CutMix(num_classes=B, per_frame=True)
HOLE = ad.Cutout(8, fill=ERASED, per_frame=True)
CHOICES = {
    "mixes": [EACH, CUT],
    "a mix and an eraser": [CUT, HOLE],
    "nested": [ad.OneOf([EACH, ad.Cutout(8, fill=ERASED)]), CUT],
    "nested, all by frame": [ad.OneOf([EACH, HOLE]), EACH],
    "a chain": [ad.Compose([EACH, ad.Identity()]), CUT],
}


def videos() -> torch.Tensor:
    """Sample b is b everywhere, so that pixels tell where they come from."""
    return torch.arange(B, dtype=torch.float32).view(B, 1, 1, 1, 1).repeat(1, T, 3, 32, 32)


def counted(x: torch.Tensor) -> torch.Tensor:
    """The targets that pixels ask for; what is erased stays its sample's."""
    found = torch.stack([(x == c).flatten(1).float().mean(1) for c in range(B)], 1)
    return found + torch.diag((x == ERASED).flatten(1).float().mean(1))


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("form", ["tensor", "video", "inplace", "strided", "compiled", "replay"])
def test_targets_of_a_choice_are_the_counted_pixels_of_all_frames(name, form):
    t, x, y = ad.OneOf(CHOICES[name], seed=1), videos(), torch.arange(B)
    call = {"keys": torch.arange(B)}
    if form == "video":
        x = tv_tensors.Video(x)
    elif form == "strided":
        x = x.transpose(1, 2).contiguous().transpose(1, 2)
    elif form == "replay":
        call = {"plan": t.plan(x.shape, keys=range(B))}
    elif form == "inplace":
        call["inplace"] = True
    run = torch.compile(t, fullgraph=True, backend="eager") if form == "compiled" else t
    out, targets = run(x, y, **call)
    assert torch.equal(out, t(videos(), keys=range(B)))
    torch.testing.assert_close(targets, counted(torch.as_tensor(out)))
    assert (targets != torch.eye(B)).any(1).sum() > 1


def test_plans_tell_of_every_frame():
    plan = ad.OneOf(CHOICES["mixes"], seed=1).plan((B, T, 3, 32, 32), keys=range(B))
    each, whole = plan.plans
    assert plan.partner is not None and whole.partner is not None
    assert (len(each), len(whole), len(plan)) == (B * T, B, B * T)
    assert plan.mask().shape == (B * T, 32, 32) and torch.equal(
        plan.area(), each.area() + whole.area().repeat_interleave(T)
    )
    assert torch.equal(plan.partner % T, torch.arange(B * T) % T), "frames come from the same frame of the partner"
    chosen = whole.hit.repeat_interleave(T)
    assert torch.equal(plan.partner[chosen] // T, whole.partner[whole.hit].repeat_interleave(T))
