"""Token kernels equal plain torch bit for bit, gradients too; on a GPU where there is one, else interpreted."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from augdrop.errors import AugDropError
from augdrop.kernels import token_ops
from augdrop.kernels.dispatch import use_backend
from augdrop.tokens import Selection, ToMe, from_mask
from augdrop.tokens.reducer import Seen
from augdrop.tokens.tome import match, merge
from tests.tokens.cases import ALL, even, shuffled, uneven

pytest.importorskip("triton")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
INTEGERS = (torch.uint8, torch.bool, torch.int16, torch.int32, torch.int64)
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def both(run):
    """What the reference gives, and what the kernels give, on the device."""
    with use_backend("reference"):
        want = run()
    with use_backend("cuda"):
        return want, run()


def equal(run):
    """Whether reference and kernels agree, in values and dtype."""
    want, got = both(run)
    torch.testing.assert_close(got, want, rtol=0, atol=0, equal_nan=True)


def some(*shape, dtype=torch.float32):
    """Numbers of both signs, on the device."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return x.gt(0).to(DEVICE) if dtype is torch.bool else x.mul(50).to(dtype).to(DEVICE)


def there_and_back(s: Selection, x: Tensor, fill: Tensor | float = 1):
    """Gather, scatter."""
    y = s.gather(x)
    return y, s.scatter(y, fill)


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS], ids=str)
def test_moves_in_every_dtype(dtype):
    s = even(batch=2, total=37, count=18, grid=None)
    for fill in (1, some(48, dtype=dtype)):
        equal(lambda fill=fill: there_and_back(s, some(2, 38, 48, dtype=dtype), fill))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("prefix", [0, 1])
def test_moves_of_every_selection(name, prefix):
    s = ALL[name]()
    x = some(4, 12 + prefix, 21)
    for fill in (-0.5, some(21), some(4, 12, 21), some(4, 12 + prefix, 21), some(1, 1, 1)):
        equal(lambda fill=fill: there_and_back(s, x, fill))


@pytest.mark.parametrize("d", [1, 5, 130, 300, 520])
def test_moves_of_every_width(d):
    equal(lambda: there_and_back(uneven(batch=2), some(2, 13, d)))
    equal(lambda: there_and_back(shuffled(), some(4, 13, d, dtype=torch.float64)))


def test_moves_of_every_layout():
    s, wide = even(), some(8, 16, 40)
    plain = {
        "planes": some(4, 20, 13).mT,
        "crop": wide[::2, 2:15, 3:35],
        "aligned crop": wide[::2, 2:15, 8:40],
        "one for all": some(1, 13, 24).expand(4, -1, -1),
        "positions": some(4, 13),
        "heads": some(4, 3, 13, 16).transpose(1, 2),
        "grids": some(4, 13, 2, 3, 4),
    }
    for x in plain.values():
        equal(lambda x=x: there_and_back(s, x))
        equal(lambda x=x: there_and_back(s, x, x))
        equal(lambda x=x: there_and_back(s, x, x[:, 1:]))


def test_one_mask_for_all_samples_and_order_on_every_other_place():
    keep = torch.tensor([[0, 3, 4, 9]]).expand(5, -1)
    order = torch.tensor([[3, 0, 2, 0, 0, 0, 1, 0]]).expand(5, -1)[:, ::2]
    equal(lambda: there_and_back(Selection(keep, 12, order=order.to(DEVICE)).to(DEVICE), some(5, 12, 6)))


def test_all_kept_and_one_kept():
    for count in (1, 12):
        equal(lambda count=count: there_and_back(even(count=count), some(4, 13, 10)))


def test_none_kept():
    nothing, x = torch.empty(3, 0, dtype=torch.int64, device=DEVICE), some(3, 10, 4)
    y = token_ops.gather(x, nothing, None, 2)
    assert torch.equal(y, x[:, :2])
    filled = token_ops.scatter(y, nothing, None, 2, 8, 7.0)
    assert torch.equal(filled[:, :2], y) and bool((filled[:, 2:] == 7).all()) and filled.shape == x.shape


def test_nothing_there():
    keep, padded = from_mask(torch.zeros(0, 12, dtype=torch.bool))
    empty = Selection(keep.to(DEVICE), 12, prefix=1, padded=padded)
    equal(lambda: there_and_back(empty, some(0, 13, 4)))
    equal(lambda: there_and_back(even(), some(4, 13, 0)))
    source = torch.zeros(0, 5, dtype=torch.int64, device=DEVICE)
    equal(lambda: merge(some(0, 5, 4), source, 3))
    equal(lambda: merge(some(2, 3, 0), torch.tensor([[0, 1, 1], [1, 0, 0]], device=DEVICE), 2))


def test_fills_are_converted_as_torch_does():
    s = even()
    equal(lambda: s.scatter(s.gather(some(4, 13, 3, dtype=torch.uint8)), -1))
    equal(lambda: s.scatter(s.gather(some(4, 13, 3, dtype=torch.int32)), 2.7))
    equal(lambda: s.scatter(s.gather(some(4, 13, 3)), float("nan")))
    equal(lambda: s.scatter(s.gather(some(4, 13, 3, dtype=torch.int64)), some(3)))
    equal(lambda: s.scatter(s.gather(some(4, 13, 1)), some(4, 13, 3)))
    with use_backend("cuda"), pytest.raises(RuntimeError, match="overflow"):
        s.scatter(s.gather(some(4, 13, 3, dtype=torch.uint8)), 300)


@pytest.mark.parametrize("name", ALL)
def test_gradients_of_moves(name):
    s = ALL[name]()

    def gradients(fill):
        x, fill = some(4, 13, 6, dtype=torch.float64).requires_grad_(), fill.clone().requires_grad_()
        out = s.scatter(s.gather(x).square(), fill)
        return torch.autograd.grad(out, (x, fill), some(*out.shape, dtype=torch.float64))

    for shape in ((6,), (4, 12, 6), (4, 13, 6)):
        equal(lambda shape=shape: gradients(some(*shape, dtype=torch.float64)))


def test_gradients_that_are_one_number_and_second_gradients():
    s = even()

    def gradients():
        x = some(4, 13, 3, dtype=torch.float64).requires_grad_()
        (first,) = torch.autograd.grad(s.gather(x).pow(3).sum(), x, create_graph=True)
        return first, torch.autograd.grad(s.scatter(s.gather(first), 2).square().sum(), x)

    equal(gradients)
    equal(lambda: torch.autograd.grad(s.gather(x := some(4, 13, 3).requires_grad_()).sum(), x))


@pytest.mark.parametrize("sizes", ["none", "whole", "broken"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_merges_in_every_dtype(dtype, sizes):
    source = match(torch.randn(2, 45, 8, generator=torch.Generator().manual_seed(1)), 17, 1).to(DEVICE)
    given = {
        "none": None,
        "whole": some(2, 45).abs().ceil(),
        "broken": some(45, 2).abs().mT.double(),
    }[sizes]
    equal(lambda: merge(some(2, 45, 33, dtype=dtype), source, 28, given))


def test_all_merged_into_few():
    source = torch.arange(150, device=DEVICE).remainder(9).expand(2, -1)
    equal(lambda: merge(some(2, 40, 150).mT, source, 9))
    equal(lambda: merge(some(1, 150, 16).expand(2, -1, -1), source, 9, some(150).abs().expand(2, -1)))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_gradients_of_merges(dtype):
    source = match(torch.randn(2, 21, 8, generator=torch.Generator().manual_seed(1)), 7, 1).to(DEVICE)
    for sizes in (None, some(2, 21).abs()):

        def gradients(sizes=sizes):
            x = some(2, 21, 20, dtype=dtype).requires_grad_()
            means = merge(x.square(), source, 14, sizes).x
            (first,) = torch.autograd.grad(means, x, some(2, 14, 20, dtype=dtype), create_graph=True)
            return first, torch.autograd.grad(first.sum(), x)

        equal(gradients)


def test_sizes_with_a_gradient_are_the_references_affair():
    source = torch.tensor([[0, 1, 0]], device=DEVICE)
    sizes = torch.tensor([[1.0, 1.0, 3.0]], device=DEVICE, requires_grad=True)
    equal(lambda: torch.autograd.grad(merge(some(1, 3, 4), source, 2, sizes).x.sum(), sizes))


def test_tome_whole():
    seen = Seen(layer=0, prefix=1, keys=some(2, 2, 14, 4), sizes=some(2, 14).abs())
    equal(lambda: tuple(ToMe(r=4).reduce(some(2, 14, 8), seen)))


def test_the_same_bits_every_time():
    source, x = some(2, 60).long().remainder(4), some(2, 60, 9, dtype=torch.bfloat16)
    with use_backend("cuda"):
        assert torch.equal(merge(x, source, 4).x, merge(x, source, 4).x)


def test_operators_keep_torchs_rules():
    s, x = shuffled().to(DEVICE), some(4, 13, 4).requires_grad_()
    source = match(some(2, 9, 4), 3, 1)
    calls = {
        "gather": (x, s.keep, s.order, 1),
        "scatter": (some(4, 6, 4).requires_grad_(), s.keep, s.order, 1, 12, 0.5, some(4, 12, 4).requires_grad_()),
        "merge": (some(2, 9, 4).requires_grad_(), source, some(2, 9).abs(), 6),
        "spread": (some(2, 6, 4).requires_grad_(), source, None, some(2, 6).abs()),
    }
    for name, args in calls.items():
        rules = ("test_schema", "test_autograd_registration", "test_faketensor")
        torch.library.opcheck(getattr(torch.ops.augdrop, f"token_{name}"), args, test_utils=rules)


@pytest.mark.parametrize("name", ALL)
def test_fake_cuda_tensors_are_launched_once(name):
    s, seen = ALL[name](), []

    class Seer(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.extend([func.name()] if func.namespace != "prim" and not func.is_view else [])
            return func(*args, **(kwargs or {}))

    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        tensors = {n: torch.empty_like(fake.from_tensor(t), device="cuda") for n, t in s._tensors().items()}
        there = object.__new__(Selection)
        there.__dict__.update({f.name: getattr(s, f.name) for f in dataclasses.fields(s)} | tensors)
        x = torch.empty(4, 13, 8, device="cuda")
        with Seer():
            back = there.scatter(there.gather(x))
    assert (back.shape, back.device) == (x.shape, x.device)
    assert seen == ["augdrop::token_gather", "augdrop::token_scatter"]


def test_compiles_whole():
    s, x = shuffled().to(DEVICE), some(4, 13, 3).requires_grad_()
    source = match(some(4, 13, 4), 3, 1)

    def steps(x, token):
        return merge(s.scatter(s.gather(x.sin()), token), source, 10).x.cos()

    with use_backend("cuda"):
        compiled, token = torch.compile(steps, fullgraph=True, backend="aot_eager"), some(3).requires_grad_()
        want, got = (torch.autograd.grad(run(x, token).square().sum(), (x, token)) for run in (steps, compiled))
    torch.testing.assert_close(got, want)
    torch._dynamo.reset()


@pytest.mark.cuda
@pytest.mark.skipif(DEVICE == "cpu", reason="no GPU")
def test_a_selection_on_the_host_is_not_captured():
    s, x = even(), some(4, 13, 8)
    s.gather(x)
    with pytest.raises(AugDropError, match=r"selection\.to"), torch.cuda.graph(torch.cuda.CUDAGraph()):
        s.gather(x)


@pytest.mark.cuda
@pytest.mark.skipif(DEVICE == "cpu", reason="no GPU")
def test_a_selection_on_the_device_is_captured():
    s, x = shuffled().to("cuda"), some(4, 13, 8)
    want = s.gather(x)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        got = s.gather(x)
    graph.replay()
    assert torch.equal(got, want)
