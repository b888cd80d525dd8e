"""The picture: our methods against a copy, and our peers against us."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import number
from benchmarks.timing import Row

_BLUE, _ORANGE, _GREY = "#1f6fb4", "#e8871e", "#8a8a8a"
_LIBRARIES = {
    "torchvision": "#c44e52",
    "kornia": "#55a868",
    "timm": "#8172b3",
    "albumentations": "#937860",
    "paraug": "#da8bc3",
}


def draw(path: Path, rows: Sequence[Row], machine: dict[str, Any]) -> None:
    """Two panels at the batch of 64 (or the first batch there is), float32."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    shape = next((r.shape for r in rows if r.section in ("methods", "peers") and r.shape.count("×") == 3), None)
    if shape is None:
        return
    methods = [r for r in rows if r.section == "methods" and r.shape == shape and r.dtype == "float32"]
    peers = [r for r in rows if r.section == "peers" and r.shape == shape and r.dtype == "float32" and r.to_peer]
    height = 2 + 0.26 * max(len(methods), len(peers))
    figure, axes = plt.subplots(1, 2, figsize=(16, height), layout="constrained")
    _methods(axes[0], methods)
    _peers(axes[1], peers)
    where = machine.get("device") or f"{machine['torch threads']} threads, {machine['cpu']}"
    figure.suptitle(f"AugDrop on a batch {shape} of float32 ({where})", fontsize=13)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _methods(axis: Any, rows: Sequence[Row]) -> None:
    """How far each method is from a copy."""
    names = list(dict.fromkeys(r.name for r in rows))[::-1]
    place = {name: i for i, name in enumerate(names)}
    edge = axis.get_yaxis_transform()  # x in shares of the panel
    for state, colour, shift in (("out=", _BLUE, 0.17), ("in place", _ORANGE, -0.17)):
        for r in (r for r in rows if r.state == state):
            y = place[r.name] + shift
            axis.plot([1, r.to_copy], [y, y], "-", color=colour, lw=3)
            axis.plot(r.to_copy, y, "o", color=colour, ms=7, label=state if r.name == names[0] else None)
            if r.target:
                axis.plot(r.target, y, "|", color="black", ms=12, mew=2)
            if r.floor:
                axis.plot(r.floor, y, "d", color=_GREY, ms=6, zorder=3)
            axis.text(1.01, y, number(r.to_copy, 2), transform=edge, color=colour, va="center", fontsize=9)
    axis.plot([], [], "|", color="black", ms=12, mew=2, label="target")
    if any(r.floor for r in rows):
        axis.plot([], [], "d", color=_GREY, ms=6, label="floor: writing those bytes")
    axis.axvline(1, color=_GREY, lw=1, zorder=0)
    axis.set_yticks(range(len(names)), names)
    axis.set_xlabel("time / time of out.copy_(x), log scale")
    axis.set_title("Every method beside a copy (further left is faster)")
    _finish(axis)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncol=4, frameon=False)


def _peers(axis: Any, rows: Sequence[Row]) -> None:
    """From our time to theirs, by method."""
    rows = sorted(rows, key=lambda r: (r.name, r.peer_value or 0), reverse=True)
    for i, r in enumerate(rows):
        colour, ours, theirs = _LIBRARIES[(r.peer or "").split()[0]], (r.value or 0) / 1e3, (r.peer_value or 0) / 1e3
        axis.plot([ours, theirs], [i, i], "-", color=colour, lw=2, zorder=1)
        axis.plot(theirs, i, "o", color=colour, ms=7)
        axis.plot(ours, i, "o", color=_BLUE, ms=7)
        faster = f"{number(1 / (r.to_peer or 1), 2)}×"
        axis.annotate(faster, (max(ours, theirs), i), (8, 0), textcoords="offset points", va="center", fontsize=8)
    axis.set_yticks(range(len(rows)), [f"{r.peer} ({r.state})" for r in rows], fontsize=8)
    axis.set_xlabel("milliseconds, log scale; numbers: times faster")
    axis.set_title("AugDrop (blue) and its peers at the same work")
    _finish(axis)


def _finish(axis: Any) -> None:
    axis.set_xscale("log")
    axis.margins(x=0.15, y=0.02)
    axis.grid(axis="x", color="#e4e4e4", zorder=0)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
