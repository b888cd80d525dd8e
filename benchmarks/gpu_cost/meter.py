"""The meter: every operator that a call sends to the device is counted, and carried out on the host for its values.

A fake CUDA tensor has shape, strides, dtype and device, and no memory. Beside each we keep a real CPU tensor, its
shadow, on which the same operator runs. So ``item()``, ``nonzero()`` and boolean masks give what they would give, and
a peer that waits for the device goes on with true values after the wait is counted. What is on the host stays real.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    unset_fake_temporarily,
)
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from benchmarks.gpu_cost import own, rules
from benchmarks.gpu_cost.cost import Cost

DEVICE = torch.device("cuda", 0)


def measure(make: Callable[..., Callable[[], Any]], *inputs: Tensor, warm: int = 1) -> Cost:
    """What ``make(*inputs)()`` costs, with ``inputs`` on the device, once it has run ``warm`` times.

    Warming up is what a training loop does too: tables of constants go over once. If the call cannot go on, the cost
    says where it stopped.
    """
    meter = Meter()
    with meter.installed():
        call = make(*(meter.to_device(x) for x in inputs))
        try:
            for _ in range(warm + 1):
                meter.cost, meter.at = Cost(), ""
                _seed()
                call()
        except Exception as error:
            meter.cost.stopped = f"{meter.at or 'the host'} ({type(error).__name__}: {str(error).splitlines()[0]})"
    return meter.cost


def _seed() -> None:
    """Peers draw from all three."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


class Meter(TorchDispatchMode):
    """Counts into ``cost``; ``at`` is the operator it is at."""

    def __init__(self) -> None:
        super().__init__()
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)
        self.cost, self.at = Cost(), ""
        self._pinned: dict[int, Tensor] = {}

    @contextmanager
    def installed(self) -> Iterator[Meter]:
        """Everything in the block is counted."""
        with (
            mock.patch.object(FakeTensor, "tolist", lambda t: t.cpu().tolist()),
            _torchvision_kernels(),
            _AsOnCuda(),
            self.fake,
            self,
        ):
            yield self

    def to_device(self, x: Tensor) -> Tensor:
        """``x`` as a fake CUDA tensor whose shadow is a copy of it."""
        with unset_fake_temporarily():
            return self._cast(x.clone())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        there = kwargs.get("device")
        if func.namespace == "prim":
            return func(*args, **kwargs)
        if not (_fakes((args, kwargs)) or (there is not None and torch.device(there).type == "cuda")):
            return self._on_host(func, args, kwargs)
        before, self.at = self.at, rules.name_of(func)
        try:
            real = None if func.namespace == "augdrop" else self._on_shadows(func, args, kwargs)
            result = self._results(func, args, kwargs, real)
        except Exception:
            # What cannot go on has been called all the same.
            self._charge(func, args, kwargs, [])
            raise
        self._charge(func, args, kwargs, [t for t in rules.leaves(result) if rules.on_device(t)])
        self.at = before
        return result

    def _charge(self, func: Any, args: Any, kwargs: dict[str, Any], results: list[Tensor]) -> None:
        with unset_fake_temporarily():  # host tensors and shadows are looked into
            if func.namespace == "augdrop":
                own.charge(self.cost, func, args, kwargs, results)
            else:
                rules.charge(self.cost, func, args, kwargs, results)

    def _on_host(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """An operator on host tensors; memory is pinned in name only, for that takes a driver."""
        name = rules.name_of(func)
        if name == "is_pinned":
            return args[0].untyped_storage().data_ptr() in self._pinned
        pins = name == "_pin_memory" or kwargs.get("pin_memory")
        with unset_fake_temporarily():
            if name == "_pin_memory":
                result = args[0].clone()
            else:
                result = func(*args, **(kwargs | {"pin_memory": False} if pins else kwargs))
        if pins:
            self._pinned[result.untyped_storage().data_ptr()] = result
        return result

    def _on_shadows(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """The operator on the real tensors; its random numbers leave the host's generator as it was."""
        args, kwargs = tree_map(_shadow, (args, kwargs))
        state = torch.get_rng_state() if torch.Tag.nondeterministic_seeded in func.tags else None
        with unset_fake_temporarily():
            result = func(*args, **kwargs)
            if rules.name_of(func) == "_to_copy" and rules.leaves(args)[0] is result:
                result = result.clone()
        if state is not None:
            torch.set_rng_state(state)
        return result

    def _results(self, func: Any, args: Any, kwargs: dict[str, Any], real: Any) -> Any:
        """What the caller gets: device tensors with their shadows, host tensors and numbers as they are."""
        if func._schema.is_mutable and rules.name_of(func).endswith("_") and func.namespace != "augdrop":
            if isinstance(args[0], FakeTensor):
                self._try(func, args, kwargs)
            return args[0]
        there = kwargs.get("device")
        if rules.name_of(func) in rules.WAITS or (there is not None and torch.device(there).type != "cuda"):
            return real if there is not None else tree_map(self._cast, real)
        fake = self._try(func, args, kwargs)
        if fake is NotImplemented:
            return tree_map(self._cast, real)
        return _with_shadows(fake, real)

    def _try(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """The operator on the fake tensors, which checks shapes and devices as CUDA does; it cannot know data."""
        try:
            return func(*args, **kwargs)
        except (DataDependentOutputException, DynamicOutputShapeException):
            return NotImplemented

    def _cast(self, real: Any) -> Any:
        """The fake CUDA tensor that a real one is the shadow of."""
        if not isinstance(real, Tensor):
            return real
        with self.fake:
            fake = torch.empty_strided(real.shape, real.stride(), dtype=real.dtype, device=DEVICE)
        return _with_shadows(fake, real)


def _fakes(tree: Any) -> bool:
    return any(isinstance(leaf, FakeTensor) for leaf in rules.leaves(tree))


def _shadow(leaf: Any) -> Any:
    """The real tensor beside a fake one, the host beside the device."""
    if isinstance(leaf, FakeTensor):
        return leaf.shadow  # type: ignore[attr-defined]
    if isinstance(leaf, torch.device) and leaf.type == "cuda":
        return torch.device("cpu")
    return leaf


def _with_shadows(fake: Any, real: Any) -> Any:
    """Fake results, each with its shadow; one that nobody computed (a kernel's of ours) is full of zeros."""
    reals = rules.leaves(real) if real is not None else [None] * len(rules.leaves(fake))
    for f, r in zip(rules.leaves(fake), reals, strict=True):
        if isinstance(f, FakeTensor):
            with unset_fake_temporarily():
                f.shadow = torch.zeros(f.shape, dtype=f.dtype) if r is None else r  # type: ignore[attr-defined]
    return fake


class _AsOnCuda(TorchFunctionMode):
    """Functions that torch decomposes in another, dearer way for fake tensors."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.nn.functional.one_hot:
            return _one_hot(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    classes = int(tensor.max()) + 1 if num_classes == -1 else num_classes
    return torch.zeros(*tensor.shape, classes, dtype=torch.int64, device=tensor.device).scatter_(
        -1, tensor.unsqueeze(-1), 1
    )


@contextmanager
def _torchvision_kernels() -> Iterator[None]:
    """torchvision looks its kernels up by class: a fake tensor gets the plain one's."""
    from torchvision.transforms.v2.functional import _utils

    added = [kernels for kernels in _utils._KERNEL_REGISTRY.values() if Tensor in kernels]
    for kernels in added:
        kernels[FakeTensor] = kernels[Tensor]
    try:
        yield
    finally:
        for kernels in added:
            kernels.pop(FakeTensor, None)
