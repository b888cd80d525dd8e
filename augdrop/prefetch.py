"""Prefetcher: the next batch goes to the GPU, and through its transform, while the model works on this one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from augdrop.datasets import Keyed
from augdrop.errors import fail
from augdrop.keys import keys
from augdrop.samples import edge, roles
from augdrop.samples.tree import leaves, rebuild
from augdrop.transforms.base import Transform


class Prefetcher:
    """Batches of a loader on the device, transformed, one ahead of whoever asks for them.

    On a GPU, copies (from pinned memory) and the transform run on a stream of their own; a batch is handed over to the
    stream that is current when it is asked for. On the CPU it is a plain loop, with the same results.

    Keys and epochs go along: with ``ad.keyed(dataset, attach=True)`` and torch's own collation each batch brings them,
    and so does the ``"key"`` entry of a dict, which stays on the host, where drops are decided.

    Args:
        loader: gives tensors, or tuples, lists and dicts of them (nested, if need be). ``pin_memory=True`` in a
            DataLoader saves the copy to pinned memory here.
        transform: called with a batch (with its parts, if it is a tuple or list), as by `collate`; batches that are
            copied to the device are overwritten. None hands on what came, `Keyed` batches as they are.
        device: ``"cuda"`` is the device that is current when the loop begins.

    Example:
        >>> import augdrop as ad, torch
        >>> pairs = [(torch.rand(3, 8, 8), i % 2) for i in range(8)]
        >>> loader = torch.utils.data.DataLoader(ad.keyed(pairs, attach=True), batch_size=4)
        >>> batches = ad.Prefetcher(loader, ad.CutMix(num_classes=2, seed=0), device="cpu")
        >>> [tuple(targets.shape) for images, targets in batches]
        [(4, 2), (4, 2)]
    """

    def __init__(
        self,
        loader: Iterable[Any],
        transform: Callable[..., Any] | None = None,
        device: torch.device | str = "cuda",
    ) -> None:
        self.loader, self.transform, self.device = loader, transform, torch.device(device)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise fail("Prefetcher: device", got=f"'{device}'", expected="a GPU in this machine", fix='Pass "cpu".')

    def __len__(self) -> int:
        """Batches of the loader."""
        return len(self.loader)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        if self.device.type != "cuda":
            yield from (self._prepared(batch, self.device) for batch in self.loader)
            return
        device = self.device if self.device.index is not None else torch.device("cuda", torch.cuda.current_device())
        side, ahead = torch.cuda.Stream(device), []
        try:
            for batch in self.loader:
                ahead.append(self._started(batch, device, side))
                if len(ahead) > 1:
                    yield ahead.pop(0).handed_over()
        except Exception:
            # As on the CPU: the batches before one that fails are good.
            yield from (batch.handed_over() for batch in ahead)
            raise
        yield from (batch.handed_over() for batch in ahead)

    def _started(self, batch: Any, device: torch.device, side: torch.cuda.Stream) -> _Ahead:
        """Put a batch's copies and transform on the side stream; the host waits for nothing."""
        # What the loader itself has made on the device must be there, and stay.
        side.wait_stream(torch.cuda.current_stream(device))
        _keep(batch, device, side)
        with torch.cuda.stream(side):
            prepared = self._prepared(batch, device)
            done = torch.cuda.Event()
            done.record(side)
        return _Ahead(prepared, done, device)

    def _prepared(self, batch: Any, device: torch.device) -> Any:
        batch, ours = _moved(batch, device)
        if self.transform is None:
            return batch
        name = contextlib.nullcontext()
        if isinstance(batch, Keyed):
            name, batch = keys(batch.key, batch.epoch), batch.item
        inputs = batch if isinstance(batch, (tuple, list)) else (batch,)
        with name:
            return self.transform(
                *inputs, **({"inplace": True} if ours and isinstance(self.transform, Transform) else {})
            )


class _Ahead(NamedTuple):
    """A batch that the side stream is at, and when it is done."""

    batch: Any
    done: torch.cuda.Event
    device: torch.device

    def handed_over(self) -> Any:
        """The batch, for the current stream: it waits for this batch alone, and its memory lives until it is used."""
        stream = torch.cuda.current_stream(self.device)
        stream.wait_event(self.done)
        _keep(self.batch, self.device, stream)
        return self.batch


def _keep(batch: Any, device: torch.device, stream: torch.cuda.Stream) -> None:
    """Let no memory of a batch be used again before a stream, that it was not made on, is done with it."""
    for _, leaf in leaves(batch):
        if isinstance(leaf, Tensor) and leaf.device == device:
            leaf.record_stream(stream)


def _moved(batch: Any, device: torch.device) -> tuple[Any, bool]:
    """The batch with its tensors on a device, keys excepted; and whether all of these are copies of ours."""
    held = batch.item if isinstance(batch, Keyed) else batch
    arrays = {
        path: leaf for path, leaf in leaves(held) if roles.is_array(leaf) and not (path and path[-1] in roles.KEYS)
    }
    tensors = {path: leaf for path, leaf in arrays.items() if isinstance(leaf, Tensor)}
    item = rebuild(held, {path: _sent(leaf, device) for path, leaf in tensors.items()})
    ours = bool(tensors) and len(tensors) == len(arrays) and all(x.device != device for x in tensors.values())
    return (batch._replace(item=item) if isinstance(batch, Keyed) else item), ours


def _sent(x: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; to a GPU from pinned memory, so that neither side waits."""
    if x.device == device:
        return x
    source = x.pin_memory() if x.is_cpu and device.type == "cuda" and not x.is_pinned() else x
    return edge.like(source.to(device, non_blocking=True), x)
