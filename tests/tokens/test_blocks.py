"""Block masks, GMML and the JEPAs' blocks: laws, rewrites in plain Python, what is shared."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import augdrop as ad
from augdrop import tokens
from augdrop.rng import FIRST, uniforms_reference
from augdrop.tokens.multi_block import block_size


def stream(method, batch):
    """The uniforms of each sample, two a block, from block ``FIRST`` on."""
    draws = method.draws(batch, range(batch), None)
    return uniforms_reference(draws.stream, draws.keys, draws.epochs, FIRST, 2000)


def block_mask(u, h, w, count, least, lowest):
    """One sample's block mask as the references write it down, drawing from ``u``."""
    u, mask = iter(u), np.zeros((h, w), bool)
    while mask.sum() < count:
        added = 0
        for _ in range(10):
            remaining = count - mask.sum()
            a, b, c, d = (next(u) for _ in range(4))
            area = least + (remaining - least) * a
            aspect = math.exp(math.log(lowest) + (math.log(1 / lowest) - math.log(lowest)) * b)
            rows, columns = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if rows < h and columns < w:
                top, left = math.floor(c * (h - rows + 1)), math.floor(d * (w - columns + 1))
                new = rows * columns - mask[top : top + rows, left : left + columns].sum()
                if 0 < new <= remaining:
                    mask[top : top + rows, left : left + columns] = True
                    added = new
                    break
        if not added:
            break
    return mask


@pytest.mark.parametrize("name", ["BEiT", "DINOv2"])
@pytest.mark.parametrize("grid", [(14, 14), (6, 10)])
def test_block_masks_are_the_references(name, grid):
    count = 75 if name == "BEiT" and grid == (14, 14) else int(0.5 * grid[0] * grid[1])
    method = tokens.BlockMask.preset(name, count=count, grid=grid, seed=4)
    s = method(torch.zeros(40, grid[0] * grid[1], 1), keys=range(40))
    u = stream(method, 40)
    expected = np.stack([block_mask(row, *grid, count, method.least, 0.3) for row in u])
    assert np.array_equal(s.mask("removed").view(40, *grid).numpy(), expected)


def test_block_masks_never_exceed_and_lean_to_the_middle():
    s = tokens.BlockMask.preset("BEiT", seed=0)(torch.zeros(3000, 196, 1), keys=range(3000))
    counts = s.mask("removed").sum(1)
    assert int(counts.max()) == 75 and 70 < float(counts.float().mean()) < 75
    assert 0.6 < float((counts == 75).float().mean()) < 0.75
    share = s.mask("removed").float().mean(0).view(14, 14)
    corners = share[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert float(corners.max()) < 0.08 and float(share[5:9, 5:9].mean()) > 0.55
    # Both axes and both directions alike.
    for other in (share.T, share.flip(0), share.flip(1)):
        assert float((share - other).abs().max()) < 7 * math.sqrt(0.25 / 3000)


def test_dinov2_batch_has_half_of_it_masked_at_one_ratio_of_each_bin():
    method = tokens.DINOv2Mask.preset("reference", seed=1)
    u = torch.zeros(32, 196, 1)
    wanted = method.counts(method.draws(32, range(32), None), 196)
    assert (wanted > 0).sum() == 16
    edges = np.linspace(0.1, 0.5, 17)
    for count, low, high in zip(np.sort(wanted)[16:], edges[:-1], edges[1:], strict=True):
        assert int(low * 196) <= count <= int(high * 196)
    s = method(u, keys=range(32))
    assert bool((s.mask("removed").sum(1) <= torch.from_numpy(wanted)).all())
    assert torch.equal(s.mask("removed").sum(1) == 0, torch.from_numpy(wanted == 0))
    # The order of the batch does not matter, nor is it what decides.
    other = method(u, keys=range(31, -1, -1)).mask("removed").flip(0)
    assert torch.equal(other, s.mask("removed")) and len(set((wanted[:16] > 0).tolist())) == 2
    odd = method.counts(method.draws(5, range(5), None), 196)
    assert (odd > 0).sum() == 2


def test_dinov2_by_key_has_the_same_law():
    method = tokens.DINOv2Mask(seed=1)
    counts = method.counts(method.draws(4000, range(4000), None), 196)
    masked = counts[counts > 0]
    assert abs(len(masked) / 4000 - 0.5) < 5 * math.sqrt(0.25 / 4000)
    assert abs(masked.mean() / 196 - 0.3) < 0.01 and masked.min() >= 19 and masked.max() <= 98


def test_token_weights_let_samples_count_alike():
    s = tokens.DINOv2Mask.preset("reference", seed=1)(torch.zeros(8, 196, 1), keys=range(8))
    weights = tokens.token_weights(s)
    assert weights[s.mask("kept")].sum() == 0
    assert torch.allclose(weights.sum(1), (s.counts < 196).float())


def test_gmml_corrupts_groups_as_told():
    x = torch.arange(8.0).view(8, 1, 1).expand(8, 197, 6) + 100
    method = tokens.GMML(prefix=1, seed=3)
    y, s = method.corrupt(x, keys=range(8))
    assert s == method(x, keys=range(8))
    assert torch.equal(y[:, :1], x[:, :1]) and torch.equal(y[:, 1:][s.mask("kept")], x[:, 1:][s.mask("kept")])
    assert bool((s.mask("removed").sum(1) <= 137).all()) and float(s.mask("removed").float().mean()) > 0.65
    for i in range(8):
        rows = y[i, 1:][s.mask("removed")[i]]
        other = rows[rows[:, 0] > 50]
        assert bool((other == other[:1]).all()) and not bool((other == x[i, 0, 0]).any())
        noise = rows[rows[:, 0] < 50]
        assert not len(noise) or float(noise.abs().max()) < 6.5


def test_gmml_kinds_shares_and_noise():
    x = torch.full((300, 196, 8), 50.0)
    y, s = tokens.GMML(noise=0.3, other=0.2, seed=0).corrupt(x, keys=range(300))
    removed = s.mask("removed")
    zero, same = (y == 0).all(-1) & removed, (y == 50).all(-1) & removed
    noise = y[removed & ~zero & ~same]
    shares = [float(v.sum() / removed.sum()) for v in (removed & ~zero & ~same, same, zero)]
    assert np.abs(np.subtract(shares, [0.3, 0.2, 0.5])).max() < 0.06
    assert abs(float(noise.mean())) < 0.01 and abs(float(noise.std()) - 1) < 0.01
    zeros, s = tokens.GMML.preset("zeros", seed=0).corrupt(x, keys=range(300))
    assert bool((zeros[s.mask("removed")] == 0).all())


def test_gmml_does_not_depend_on_the_batch_but_for_partners():
    x = torch.randn(6, 64, 4, generator=torch.Generator().manual_seed(0))
    method = tokens.GMML(noise=0.5, other=0.0, seed=0)
    y, _ = method.corrupt(x, keys=range(6), epoch=1)
    for i in range(6):
        assert torch.equal(method.corrupt(x[i : i + 1], keys=[i], epoch=1)[0][0], y[i])
    other = tokens.GMML(noise=0.0, other=1.0, seed=0)
    y, s = other.corrupt(x, keys=range(6))
    back, _ = other.corrupt(x.flip(0), keys=range(5, -1, -1))
    assert torch.equal(y, back.flip(0))
    assert not bool((y == x).all(-1)[s.mask("removed")].any())
    assert torch.equal(other.corrupt(x[:1], keys=[0])[0], x[:1])


def ijepa(u, h, w, target, context, targets, min_keep, spare):
    """One sample's context and targets, drawing places from ``u``."""
    u = iter(u)

    def place(size):
        mask = np.zeros((h, w), bool)
        a, b = next(u), next(u)
        top = math.floor(a * max(1, h - size[0] + spare))
        left = math.floor(b * max(1, w - size[1] + spare))
        mask[top : top + size[0], left : left + size[1]] = True
        return mask

    blocks = [place(target) for _ in range(targets)]
    constraints, tries = targets, 0
    while True:
        left_over = place(context)
        for block in blocks[:constraints]:
            left_over &= ~block
        if left_over.sum() > min_keep:
            return [left_over, *blocks]
        tries += 1
        constraints -= tries % 20 == 0


@pytest.mark.parametrize("preset", ["paper", "reference"])
@pytest.mark.parametrize("min_keep", [10, 90])
def test_ijepa_in_plain_python(preset, min_keep):
    method = tokens.IJEPA.preset(preset, min_keep=min_keep, seed=2)
    masks = method.blocks(torch.zeros(30, 196, 1), keys=range(30))
    sizes = method.sizes(method.draws(30, range(30), None))
    exclusive = method.exclusive
    target = block_size(sizes[:, 0], (0.15, 0.2), (0.75, 1.5), 14, 14, exclusive)
    context = block_size(sizes[:, 1], (0.85, 1.0), (1.0, 1.0), 14, 14, exclusive)
    u = stream(method, 30)
    expected = [ijepa(u[i], 14, 14, target[i], context[i], 4, min_keep, 1 - exclusive) for i in range(30)]
    least = min(e[0].sum() for e in expected)
    for i, (seen, *blocks) in enumerate(expected):
        places = np.flatnonzero(seen)
        row = masks.context.keep[i]
        assert row[row >= 0].tolist() == places[: least if preset == "reference" else None].tolist()
        for selection, block in zip(masks.targets, blocks, strict=True):
            assert selection.keep[i][selection.keep[i] >= 0].tolist() == np.flatnonzero(block).tolist()


def test_ijepa_reference_quirks():
    reference = tokens.IJEPA.preset("reference", seed=0).blocks(torch.zeros(400, 196, 1), keys=range(400))
    for selection in (reference.context, *reference.targets):
        covered = selection.mask("kept").any(0).view(14, 14)
        assert not bool(covered[-1].any()) and not bool(covered[:, -1].any())
    assert not reference.context.padded and len({s.keep.shape for s in reference.targets}) == 1
    paper = tokens.IJEPA(seed=0).blocks(torch.zeros(400, 196, 1), keys=range(400))
    assert bool(paper.targets[0].mask("kept").any(0).all())
    for i in range(400):  # targets are whole rectangles of the scale and aspect asked for
        rows, columns = np.nonzero(paper.targets[1].mask("kept")[i].view(14, 14).numpy())
        h, w = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert len(rows) == h * w and 0.12 * 196 < h * w < 0.22 * 196 and 0.65 < h / w < 1.7


def test_ijepa_context_has_no_target_in_it_and_called_it_gives_the_context():
    x, method = torch.zeros(50, 197, 1), tokens.IJEPA(prefix=1, seed=0)
    masks = method.blocks(x, keys=range(50))
    assert method(x, keys=range(50)) == masks.context
    for target in masks.targets:
        assert not bool((masks.context.mask("kept") & target.mask("kept")).any())
        assert target.prefix == 1 and target.grid == (14, 14)
    assert int(masks.context.counts.min()) > 10


def test_ijepa_relaxes_where_nothing_would_be_left():
    method = tokens.IJEPA(target_scale=(0.9, 0.9), target_aspect=(1.0, 1.0), min_keep=60, seed=0)
    masks = method.blocks(torch.zeros(4, 100, 1), keys=range(4))
    assert int(masks.context.counts.min()) > 60


@pytest.mark.parametrize("preset", ["short", "long"])
def test_vjepa_covers_all_time_and_leaves_the_complement(preset):
    method = tokens.VJEPA.preset(preset, grid=(4, 14, 14), seed=0)
    s = method(torch.zeros(300, 784, 1), keys=range(300))
    kept = s.mask("kept").view(300, 4, 196)
    assert bool((kept == kept[:, :1]).all()) and int(s.counts.min()) >= 4
    u, sizes = stream(method, 300), method.sizes(method.draws(300, range(300), None))
    size = block_size(sizes[:, 0], method.scale, method.aspect, 14, 14, False)
    for i in range(300):
        mask, places = np.ones((14, 14), bool), iter(u[i])
        for _ in range(20):
            mask[:] = True
            for _ in range(method.blocks):
                top, left = (math.floor(next(places) * (14 - side + 1)) for side in size[i])
                mask[top : top + size[i][0], left : left + size[i][1]] = False
            if mask.any():
                break
        assert np.array_equal(kept[i, 0].view(14, 14).numpy(), mask)
    mean = float(s.mask("removed").float().mean())
    assert (0.6 < mean < 0.8) if preset == "short" else (0.78 < mean < 0.95)


def test_vjepa_of_a_batch_has_one_count():
    x = torch.zeros(16, 784, 1)
    s = tokens.VJEPA(per="batch", grid=(4, 14, 14), seed=0)(x, keys=range(16))
    assert not s.padded and bool((s.keep >= 0).all())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tokens.BlockMask(count=196)(torch.zeros(1, 196, 1)), "below 196"),
        (lambda: tokens.BlockMask(1.0), "share in"),
        (lambda: tokens.BlockMask(least=0), ">= 1"),
        (lambda: tokens.BlockMask(aspect=0.0), "above 0"),
        (lambda: tokens.BlockMask()(torch.zeros(1, 195, 1)), "multiply to 195"),
        (lambda: tokens.DINOv2Mask(ratios=(0.5, 0.1)), "in order"),
        (lambda: tokens.DINOv2Mask(per="pair"), "'sample' or 'batch'"),  # type: ignore[arg-type]
        (lambda: tokens.GMML(noise=0.8), "at most 1"),
        (lambda: tokens.GMML().corrupt(torch.zeros(1, 196, 1, dtype=torch.int64)), "floats"),
        (lambda: tokens.IJEPA(targets=0), ">= 1"),
        (lambda: tokens.IJEPA(target_aspect=(0.0, 1.0)), "above 0"),
        (lambda: tokens.VJEPA(grid=(1, 1, 14, 14))(torch.zeros(1, 196, 1)), r"\(t, h, w\)"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ad.AugDropError, match=message):
        call()
