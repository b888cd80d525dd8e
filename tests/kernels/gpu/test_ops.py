"""The operators under fake CUDA tensors: the whole eager call, without a GPU and without looking at data."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from augdrop.errors import AugDropError
from augdrop.kernels.dispatch import apply
from tests.kernels.cases import FILLS, WHERES, opacities, plan_for

LOOKS = (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero)


class Launches(TorchDispatchMode):
    """What fake CUDA tensors are asked to do."""

    def __init__(self, fake: FakeTensorMode) -> None:
        super().__init__()
        self.launched, self.copies, self.waits, self.front = [], 0, 0, Front(self, fake)

    def __enter__(self):
        self.front.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.front.__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func.overloadpacket not in LOOKS or args[0].is_cpu, func
        self.launched += [func.name()] if func.namespace == "augdrop" else []
        return func(*args, **(kwargs or {}))


class Front(TorchFunctionMode):
    """Calls that would start CUDA before they are dispatched: pinned memory, and the way to the device."""

    def __init__(self, seen: Launches, fake: FakeTensorMode) -> None:
        super().__init__()
        self.seen, self.fake = seen, fake

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.empty:
            kwargs.pop("pin_memory", None)
        moves = func is torch.Tensor.to and not isinstance(args[1], torch.dtype)
        if moves and args[0].is_cpu:
            self.seen.copies += 1
            self.seen.waits += not kwargs.get("non_blocking")
            with self.fake:
                return torch.empty(args[0].shape, dtype=args[0].dtype, device=args[1])
        there = moves or torch.device(kwargs.get("device") or "cpu").type == "cuda"
        with self.fake if there else nullcontext():
            return func(*args, **kwargs)


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("fill", FILLS)
def test_a_call_is_one_copy_and_one_launch(fill, inplace):
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with fake:
        x = torch.empty(6, 3, 37, 53, device="cuda")
    for name, where in WHERES.items():
        plan = plan_for(where, FILLS[fill], opacity=opacities(6) if fill == "blend" else None)
        with Launches(fake) as seen:
            result = apply(x, plan, inplace=inplace)
        paint = "augdrop::paint_" if inplace else "augdrop::paint"
        first = {"mean": ["augdrop::channel_means"], "blur": ["augdrop::cell_means"]}.get(fill, [])
        assert seen.launched == [*first, paint], name
        assert (seen.copies, seen.waits) == (1, 0)
        assert result.device == x.device and result.shape == x.shape and (result is x) == inplace


def test_a_plan_that_lies_there_is_not_copied():
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with fake:
        x = torch.empty(6, 3, 37, 53, device="cuda")
    for where in WHERES.values():
        with Launches(fake):
            plan = plan_for(where, FILLS["partner"]).to(x.device)
        assert plan.device == x.device
        with Launches(fake) as seen:
            apply(x, plan, inplace=True)
        assert (seen.launched, seen.copies) == (["augdrop::paint_"], 0)


def test_a_plan_on_another_device_is_refused():
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with fake:
        x = torch.empty(6, 3, 37, 53, device="cuda:0")
    with Launches(fake):
        plan = plan_for(WHERES["box"], FILLS["constant"]).to("cuda:1")
        with pytest.raises(AugDropError, match=r"plan on cuda:1.*plan\.to"):
            apply(x, plan)
