"""Data sets whose items carry their keys: the same drop in any worker, in any order."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, default_collate

from augdrop.errors import fail
from augdrop.keys import NO_EPOCH, keys
from augdrop.pairing import dataset_partners
from augdrop.plans import Plans
from augdrop.transforms.base import Transform


class Keyed(NamedTuple):
    """An item with its key and epoch (-1: none was set) beside it; `collate` takes them off again."""

    item: Any
    key: int
    epoch: int


class keyed(Dataset):
    """A data set whose transforms are keyed by the item's index.

    Around a ``Subset`` the index counts within that. For a sample to keep its key in any part of a data set, put the
    part around: ``Subset(ad.keyed(dataset), indices)``, or ``random_split(ad.keyed(dataset), ...)``. Around the parts
    of a ``ConcatDataset`` indices would meet, and items of one index drop alike: ``ad.keyed(ConcatDataset([a, b]))``.
    So does an item that a sampler repeats within an epoch.

    Args:
        dataset: any map-style data set.
        attach: return `Keyed` items, for a batch transform in `collate`.

    Example:
        >>> import augdrop as ad
        >>> cut = ad.Cutout(4, seed=0)
        >>> class Photos:
        ...     def __len__(self): return 8
        ...     def __getitem__(self, i): return cut(torch.ones(1, 16, 16))
        >>> photos = ad.keyed(Photos())
        >>> bool((photos[3] == cut(torch.ones(1, 16, 16), keys=3)).all())
        True
    """

    def __init__(self, dataset: Any, attach: bool = False) -> None:
        # An IterableDataset has indices by inheritance, and raises when it is asked for one.
        stream = isinstance(dataset, IterableDataset)
        if stream or not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
            raise fail(
                "keyed", got=type(dataset).__name__, expected="a data set with indices", fix="Key streams by ad.keys()."
            )
        self.dataset, self.attach = dataset, attach
        # In shared memory, for workers that are already running.
        self._epoch = torch.full((1,), NO_EPOCH).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, also for persistent workers. Until then that of the transforms counts."""
        self._epoch[0] = epoch

    @property
    def transform(self) -> Any:
        """The data set's own ``transform``: torchvision's and timm's have one, and timm's ``create_loader`` sets it."""
        return self.dataset.transform

    @transform.setter
    def transform(self, transform: Any) -> None:
        self.dataset.transform = transform

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        index = int(index)
        index = index + len(self) if index < 0 else index
        epoch = int(self._epoch.item())
        with keys(index, epoch):
            item = self.dataset[index]
        return Keyed(item, index, epoch) if self.attach else item


class collate:
    """Collate items, then transform the batch by the items' keys.

    Args:
        transform: called with the collated batch (its parts, if it is a tuple or list, but not a list of dict samples).
        collate_fn: from items to a batch.

    Example:
        >>> import augdrop as ad
        >>> pairs = [(torch.rand(3, 8, 8), i % 2) for i in range(8)]
        >>> mix = ad.CutMix(num_classes=2, seed=0)
        >>> loader = torch.utils.data.DataLoader(ad.keyed(pairs, attach=True), 4, collate_fn=ad.collate(mix))
        >>> [tuple(y.shape) for x, y in loader]
        [(4, 2), (4, 2)]
    """

    def __init__(self, transform: Callable[..., Any], collate_fn: Callable[[list[Any]], Any] = default_collate) -> None:
        self.transform, self.collate_fn = transform, collate_fn

    def __call__(self, items: list[Any]) -> Any:
        if not items or not isinstance(items[0], Keyed):
            return self._call(self.collate_fn(items))
        ids, epochs = (torch.tensor([getattr(i, name) for i in items]) for name in ("key", "epoch"))
        with keys(ids, epochs):
            return self._call(self.collate_fn([i.item for i in items]))

    def _call(self, batch: Any) -> Any:
        # What default_collate has just made is nobody else's, and in a worker lies in the memory that both sides share:
        # it is overwritten, which saves two copies of the batch.
        ours = self.collate_fn is default_collate and isinstance(self.transform, Transform)
        samples = isinstance(batch, list) and all(isinstance(sample, MutableMapping) for sample in batch)
        inputs = batch if isinstance(batch, (tuple, list)) and not samples else (batch,)
        return self.transform(*inputs, **({"inplace": True} if ours else {}))


class mixed(Dataset):
    """Mix items of a data set with partners from the whole data set: free of batches, so any loader will do.

    Args:
        dataset: map-style, of (image tensor, class index or soft target) pairs of one size.
        transform: a mixing transform with ``num_classes``, or a `OneOf` with such transforms.

    Example:
        >>> import augdrop as ad
        >>> pairs = [(torch.rand(3, 8, 8), i % 2) for i in range(8)]
        >>> image, target = ad.mixed(pairs, ad.CutMix(num_classes=2, seed=0))[5]
        >>> image.shape, target.shape
        (torch.Size([3, 8, 8]), torch.Size([2]))
    """

    def __init__(self, dataset: Any, transform: Any) -> None:
        if not getattr(transform, "mixes", False):
            raise fail(
                "mixed", got=type(transform).__name__, expected="a mixing transform", fix="Use keyed() for the others."
            )
        self.dataset, self.transform = dataset, transform

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, also for persistent workers."""
        self.transform.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor | tuple[Tensor, ...]]:
        index = int(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        index %= len(self)
        draws = self.transform.draws(1, [index])
        (x, y), (px, py) = self._pair(index), self._pair(int(dataset_partners(draws, len(self))[0]))
        plan = self.transform.decide(x, draws, partners=px)
        if isinstance(plan, Plans) and plan.kind == "chain":
            fix = "Erase in the data set's own transform."
            raise fail("mixed", got="a Compose", expected="one method, or a OneOf of methods", fix=fix)
        target = self.transform.mix_labels(y, plan, x, py)
        x = self.transform.apply(x, plan, source=px)
        return x[0], tuple(t[0] for t in target) if isinstance(target, tuple) else target[0]

    def _pair(self, index: int) -> tuple[Tensor, Tensor]:
        """An item as a batch of one."""
        item = self.dataset[index]
        if not (isinstance(item, (tuple, list)) and len(item) == 2 and isinstance(item[0], Tensor)):
            kinds = [type(part).__name__ for part in item] if isinstance(item, (tuple, list)) else type(item).__name__
            raise fail(
                f"mixed: item {index}",
                got=kinds,
                expected="an image tensor and its label",
                fix="Turn images into tensors in the data set; mix dicts in batches, by collate.",
            )
        return item[0].as_subclass(Tensor)[None], torch.as_tensor(item[1])[None]
