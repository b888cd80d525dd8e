"""Rows of places: made of masks, taken, and, on the host in one compiled pass, checked and turned round."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor

from augdrop.errors import fail
from augdrop.kernels.allocate import room


def from_mask(kept: Tensor) -> tuple[Tensor, bool]:
    """``keep`` and ``padded`` of a selection, from a mask bool ``[B, N]``, True where kept.

    Example:
        >>> from_mask(torch.tensor([[True, False, True], [False, True, False]]))
        (tensor([[ 0,  2],
                [ 1, -1]]), True)
    """
    n = kept.shape[1]
    most, least = (int(v) for v in kept.sum(1).aminmax()[::-1]) if len(kept) else (1, 1)
    places = torch.where(kept, torch.arange(n, device=kept.device), n).sort(1).values[:, : max(1, most)]
    return torch.where(places == n, -1, places), least != max(1, most)


def take(x: Tensor, rows: Tensor, prefix: int = 0) -> Tensor:
    """Tokens of ``x [B, T, ...]``: the ``prefix`` first, then each sample's ``rows``, int64 ``[B, K]``, behind them.

    Args:
        rows: on the device of ``x``, not counting the prefix; for -1, which pads, comes some token.

    Example:
        >>> take(torch.tensor([[[1.0], [2.0], [4.0]]]), torch.tensor([[1, 0, 1]]), prefix=1).flatten().tolist()
        [1.0, 4.0, 2.0, 4.0]
    """
    # Whole rows of one long table: several times as fast as an index for each element.
    table, length = x.flatten(0, 1), x.shape[1]
    if (places := on_host(rows)) is not None:
        places = torch.from_numpy(tabled(places, length, prefix))
    else:
        places = rows.clamp(min=0) + prefix
        if prefix:
            places = torch.cat([torch.arange(prefix, device=x.device).expand(len(rows), -1), places], 1)
        places = (places + torch.arange(len(x), device=x.device)[:, None] * length).flatten()
    out = torch.index_select(table, 0, places, out=room((len(places), *table.shape[1:]), x))
    return out.view(len(x), prefix + rows.shape[1], *x.shape[2:])


def check_rows(keep: Tensor, total: int, padded: bool) -> None:
    """``keep`` of a selection is int64 ``[B, K]``, and its rows are ascending places among ``total`` tokens."""
    if not isinstance(keep, Tensor):
        raise fail(
            "Selection: keep",
            got=type(keep).__name__,
            expected="a tensor, int64 [B, K]",
            fix="Where samples keep different numbers, make it of a mask: from_mask(kept).",
        )
    if keep.ndim != 2 or keep.dtype != torch.int64 or not 0 < keep.shape[1] <= total:
        raise fail(
            "Selection: keep",
            got=f"{keep.dtype} {tuple(keep.shape)}",
            expected=f"int64 [B, K], K from 1 to {total}",
            fix="Keep at least one token.",
        )
    rows = on_host(keep)
    if rows is None or ascend(rows, total, padded):
        return
    # A place beyond the last would be a token of the next sample.
    if not padded and rows[:, -1].min() == -1:
        raise fail(
            "Selection: keep",
            got=f"samples that keep different numbers of the {total} tokens",
            expected="equal numbers",
            fix="Say padded=True.",
        )
    raise fail(
        "Selection: keep",
        got="places that fall, repeat or lie outside",
        expected=f"rows that ascend, from 0 to {total - 1}",
        fix="Make keep of a mask: from_mask(kept).",
    )


def check_order(order: Tensor) -> None:
    """Each row of ``order``, int64 ``[B, K]``, has the numbers from 0 to K - 1 once."""
    rows = on_host(order)
    if rows is not None and (np.sort(rows, 1) != np.arange(rows.shape[1])).any():
        raise fail(
            "Selection: order",
            got="numbers that repeat or lie outside",
            expected=f"each from 0 to {rows.shape[1] - 1} once",
            fix="Places in keep, such as scores.argsort(1) of kept tokens.",
        )


def on_host(rows: Tensor) -> np.ndarray | None:
    """``rows`` for the compiled passes; None in a graph or a transform, or on a GPU, where to look would be to wait."""
    if not rows.is_cpu or type(rows) is not Tensor or torch.compiler.is_compiling():
        return None
    if torch._C._are_functorch_transforms_active():
        return None
    return rows.contiguous().numpy()


@njit(cache=True, nogil=True)
def ascend(keep, total, padded):
    """Does each row of int64 ``[B, K]`` ascend within 0 to ``total`` - 1, up to the -1 that pad it if any may?"""
    for b in range(len(keep)):
        before = -1
        for place in keep[b]:
            if place == -1 and padded:
                before = total
            elif before < place < total:
                before = place
            else:
                return False
    return True


@njit(cache=True, nogil=True)
def restored(keep, order, total):
    """`Selection.restore` of int64 ``[B, K]``; ``order`` is ``[B, K]``, or ``[0, K]`` for ascending tokens."""
    count = keep.shape[1]
    out, slots = np.empty((len(keep), total), np.int64), np.arange(count)
    for b in range(len(keep)):
        if len(order):
            for slot in range(count):
                slots[order[b, slot]] = slot
        k, others = 0, count
        for i in range(total):
            if k < count and keep[b, k] == i:
                out[b, i] = slots[k]
                k += 1
            else:
                out[b, i] = others
                others += 1
    return out


@njit(cache=True, nogil=True)
def masked(keep, total, kept):
    """`Selection.mask` of int64 ``[B, K]``: ``kept`` at the places that are kept."""
    out = np.full((len(keep), total), not kept)
    for b in range(len(keep)):
        for place in keep[b]:
            if place >= 0:
                out[b, place] = kept
    return out


@njit(cache=True, nogil=True)
def tabled(rows, length, prefix):
    """Rows of the table of all samples, ``length`` each: the prefix and the ``rows [B, K]``, int64 ``[B * T']``."""
    out = np.empty((len(rows), prefix + rows.shape[1]), np.int64)
    for b in range(len(rows)):
        for i in range(prefix):
            out[b, i] = b * length + i
        for k in range(rows.shape[1]):
            out[b, prefix + k] = b * length + prefix + max(0, rows[b, k])
    return out.reshape(-1)
