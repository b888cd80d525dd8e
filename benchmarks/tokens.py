"""Tokens: selecting and gathering against the limit and other libraries; whole models against what FLOPs predict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import augdrop as ad
from augdrop.tokens import MAE, RandomKeep, Selector, attach
from benchmarks.timing import Call, Effort, Row, Shape, images, micros, named, race, ratio, short

SHAPES: tuple[Shape, ...] = ((64, 196, 768), (256, 196, 768))
DTYPES = (torch.float32, torch.bfloat16)
KEEPS = (0.25, 0.5)
SHARES = (0.25, 0.5, 0.75)
"""Kept shares, of tensors and of models."""
GRIDS = {
    "squares": ad.GridMask.preset("small", seed=0),
    "stripes": ad.GridMask.preset("authors-default", period=(0.25, 0.75), seed=0),
}
"""GridMask as the paper has it, which drops (1 - 0.6)² of an image; and what drops three quarters."""
LIMIT = "index_select of the kept tokens"


def rows(effort: Effort) -> Iterator[Row]:
    """Every row of the section."""
    for shape in ((8, 16, 32),) if effort.quick else SHAPES:
        for keep in KEEPS:
            yield _selecting(shape, keep, effort)
            for dtype in DTYPES:
                x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
                yield from _moving(x, keep, effort)
    yield from _models(effort)


def _selecting(shape: Shape, keep: float, effort: Effort) -> Row:
    """Deciding alone, by key on the host."""
    x, keys, select = torch.empty(shape), torch.arange(shape[0]), RandomKeep(keep, seed=0)
    count = int(shape[1] * keep)
    seconds = race(
        {
            "ours": lambda: select(x, keys=keys),
            "theirs": lambda: torch.rand(shape[:2]).argsort(1)[:, :count],
        },
        effort,
    )
    return Row(
        "tokens",
        "selection by key",
        _state(keep),
        named(shape),
        value=micros(seconds["ours"]) / shape[0],
        unit="µs a sample",
        peer="torch rand + argsort",
        peer_value=micros(seconds["theirs"]) / shape[0],
        to_peer=ratio(seconds["ours"], seconds["theirs"]),
        goal=None if effort.quick else "value",
        target=3.0,
    )


def _moving(x: Tensor, keep: float, effort: Effort) -> Iterator[Row]:
    """Gathering, and the whole of dropping and of masking."""
    from timm.layers.patch_dropout import PatchDropout
    from transformers import ViTMAEConfig
    from transformers.models.vit_mae.modeling_vit_mae import ViTMAEEmbeddings

    (b, n, d), keys = x.shape, torch.arange(len(x))
    keep_random, mae = RandomKeep(keep, seed=0), MAE(ratio=1 - keep, seed=0)
    selection = keep_random(x, keys=keys)
    flat = x.view(-1, d)
    ids = (selection.keep + torch.arange(b)[:, None] * n).flatten()
    timm = PatchDropout(1 - keep, num_prefix_tokens=0).train()
    vitmae = ViTMAEEmbeddings(ViTMAEConfig(mask_ratio=1 - keep, hidden_size=32, num_attention_heads=1))
    count = selection.keep.shape[1]

    def plain() -> Tensor:
        kept = torch.rand(b, n).argsort(1)[:, :count]
        return x.gather(1, kept[..., None].expand(-1, -1, d))

    def masking() -> tuple[Any, ...]:
        s = mae(x, keys=keys)
        return s.gather(x), s.mask("removed"), s.restore

    calls: dict[str, Call] = {
        "limit": lambda: flat.index_select(0, ids),
        "gather": lambda: selection.gather(x),
        "drop": lambda: keep_random(x, keys=keys).gather(x),
        "argsort + gather": plain,
        "timm PatchDropout": lambda: timm(x),
        "masking": masking,
        "Transformers ViTMAE": lambda: vitmae.random_masking(x),
    }
    # Results are as large as what memory is given back for: a few rounds would be a matter of luck.
    with torch.no_grad():
        seconds = race(calls, effort if effort.quick else effort._replace(least=9))
    for name, ours, theirs, target in (
        ("gather", "gather", "limit", 1.2),
        ("select and gather", "drop", "limit", None),
        ("select and gather", "drop", "argsort + gather", 1.0),
        ("select and gather", "drop", "timm PatchDropout", 1.0),
        ("MAE masking: tokens, mask, restore", "masking", "Transformers ViTMAE", 1.0),
    ):
        yield Row(
            "tokens",
            name,
            _state(keep),
            named(x.shape),
            short(x.dtype),
            micros(seconds[ours]),
            peer=LIMIT if theirs == "limit" else theirs,
            peer_value=micros(seconds[theirs]),
            to_peer=ratio(seconds[ours], seconds[theirs]),
            goal=None if target is None or effort.quick else "to_peer",
            target=target,
        )


def _models(effort: Effort) -> Iterator[Row]:
    """A forward of ViT-B and a training step of ViT-S with 25, 50 and 75 % of the patches."""
    from timm.models import VisionTransformer

    batch, side, depth = (2, 64, 2) if effort.quick else (16, 224, 12)
    x = images((batch, 3, side, side), torch.float32)
    for size, width, measure in (("ViT-B", 768, _forward_rows), ("ViT-S", 384, _step_rows)):
        if effort.quick:
            size, width = "a tiny ViT", 64
        model = VisionTransformer(
            img_size=side, num_classes=10, embed_dim=width, depth=depth, num_heads=width // 64
        ).train()
        yield from measure(size, model, x, effort)


def _forward_rows(size: str, model: nn.Module, x: Tensor, effort: Effort) -> Iterator[Row]:
    def forward() -> Tensor:
        with torch.inference_mode():
            return model(x)

    calls = {_state(keep): _attached(model, RandomKeep(keep, seed=0), len(x), forward) for keep in SHARES}
    seconds = race({"all": forward, **calls}, effort)
    yield from (_predicted(f"{size} forward", model, x, keep, seconds, effort) for keep in SHARES)


def _step_rows(size: str, model: nn.Module, x: Tensor, effort: Effort) -> Iterator[Row]:
    optimizer, target = torch.optim.SGD(model.parameters(), lr=1e-3), torch.zeros(len(x), dtype=torch.int64)

    def step(x: Tensor) -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), target).backward()
        optimizer.step()

    def attached(method: Selector) -> Call:
        return _attached(model, method, len(x), lambda: step(x))

    calls = {"all": lambda: step(x), **{_state(keep): attached(RandomKeep(keep, seed=0)) for keep in SHARES}}
    for drop, grid in GRIDS.items():
        calls[f"{drop}, tokens"] = attached(grid.tokens(16))
        calls[f"{drop}, pixels"] = lambda grid=grid: step(grid(x, keys=range(len(x))))
    seconds = race(calls, effort)
    yield from (_predicted(f"{size} training step", model, x, keep, seconds, effort) for keep in SHARES)
    for drop, grid in GRIDS.items():
        selection = grid.tokens(16)(torch.empty(len(x), (x.shape[-1] // 16) ** 2, 1), keys=range(len(x)))
        yield Row(
            "tokens",
            f"{size} training step, GridMask ({drop}) as token drop",
            _state(float(selection.counts.float().mean()) / selection.total),
            named(x.shape),
            short(x.dtype),
            micros(seconds[f"{drop}, tokens"]),
            peer="pixel GridMask",
            peer_value=micros(seconds[f"{drop}, pixels"]),
            to_peer=ratio(seconds[f"{drop}, tokens"], seconds[f"{drop}, pixels"]),
            note=f"{selection.keep.shape[1] / selection.total:.0%} with what pads the samples",
        )


def _predicted(
    name: str, model: nn.Module, x: Tensor, keep: float, seconds: Mapping[str, np.ndarray], effort: Effort
) -> Row:
    """The time with a share of the patches against that share of the FLOPs, of the time with all."""
    share = flops(model, keep, "step" in name) / flops(model, 1.0, "step" in name)
    return Row(
        "tokens",
        name,
        _state(keep),
        named(x.shape),
        short(x.dtype),
        micros(seconds[_state(keep)]),
        peer="what the kept FLOPs predict",
        peer_value=micros(seconds["all"] * share),
        to_peer=ratio(seconds[_state(keep)], seconds["all"] * share),
        goal=None if effort.quick else "to_peer",
        target=1.1,
        note=f"{share:.0%} of the FLOPs",
    )


def _attached(model: nn.Module, method: Selector, batch: int, call: Call) -> Call:
    def dropped() -> None:
        with attach(model, method, keys=range(batch)):
            call()

    return dropped


def _state(keep: float) -> str:
    return f"keep {keep:.0%}"


def flops(model: Any, keep: float, training: bool) -> float:
    """Multiplications and additions of a sample's matrix products with a share of the patches.

    A backward pass takes twice the forward's; the patch embedding sees every patch, and no gradient goes to pixels.
    """
    patches, d = model.patch_embed.num_patches, model.embed_dim
    t = int(patches * keep) + model.num_prefix_tokens
    hidden = model.blocks[0].mlp.fc1.out_features
    block = 2 * t * (4 * d * d + 2 * d * hidden) + 4 * t * t * d
    embed = 2 * patches * model.patch_embed.proj.weight.numel()
    return block * len(model.blocks) * (3 if training else 1) + embed * (2 if training else 1)
