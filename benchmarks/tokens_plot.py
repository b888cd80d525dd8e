"""The picture of tokens: whole models on part of their patches, beside what the kept FLOPs predict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.timing import Row

_BLUE, _GREY = "#1f6fb4", "#8a8a8a"


def draw(path: Path, rows: Sequence[Row]) -> None:
    """A panel for each model that was measured; nothing without any."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = [r for r in rows if r.section == "tokens" and r.peer == "what the kept FLOPs predict"]
    names = list(dict.fromkeys(r.name for r in rows))
    if not names:
        return
    figure, axes = plt.subplots(1, len(names), figsize=(5 * len(names), 4), layout="constrained", squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        mine = [r for r in rows if r.name == name]
        shares = [float(r.state.split()[1].rstrip("%")) for r in mine]
        axis.plot(shares, [(r.peer_value or 0) / 1e3 for r in mine], "--", color=_GREY, label="what the FLOPs predict")
        axis.plot(shares, [(r.value or 0) / 1e3 for r in mine], "o-", color=_BLUE, label="measured")
        for x, r in zip(shares, mine, strict=True):
            axis.annotate(f"{r.to_peer:.2f}×", (x, (r.value or 0) / 1e3), (6, -12), textcoords="offset points")
        axis.set_title(f"{name}, {mine[0].shape}", fontsize=10)
        axis.set_xlabel("patches kept, %")
        axis.set_ylabel("milliseconds")
        axis.set_ylim(bottom=0)
        axis.set_xticks(shares)
        axis.margins(x=0.15)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(loc="upper left")
    figure.savefig(path, dpi=110)
    plt.close(figure)
