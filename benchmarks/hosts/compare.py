"""One row of the hosts' table: our stage and the host's own op in one race."""

from __future__ import annotations

import torch

from benchmarks.timing import Call, Effort, Row, micros, named, race, ratio, short


def row(
    host: str, call: str, state: str, ours: Call, theirs: Call, x: torch.Tensor, target: float, effort: Effort
) -> Row:
    """Both at the same work; ``x`` is what a plain copy of it is timed with.

    Args:
        host, call: whose op, and which.
        state: where it stands.
        target: what ours is to take of their time at most.
    """
    out = torch.empty_like(x)
    seconds = race({"copy_": lambda: out.copy_(x), "ours": ours, "theirs": theirs}, effort)
    return Row(
        section="hosts",
        name=call,
        state=state,
        shape=named(tuple(x.shape)),
        dtype=short(x.dtype),
        value=micros(seconds["ours"]),
        to_copy=ratio(seconds["ours"], seconds["copy_"]),
        peer=f"{host} {call}",
        peer_value=micros(seconds["theirs"]),
        to_peer=ratio(seconds["ours"], seconds["theirs"]),
        goal="to_peer",
        target=target,
    )
