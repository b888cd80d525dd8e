"""torch.compile around whole training steps: inductor's numbers on the CPU, and one graph for (fake) CUDA tensors."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import cross_entropy

import augdrop as ad
from augdrop.transforms import compiled
from tests.transforms.cases import ALL, make

# What lets `loss.backward()` stand inside the compiled function, and not behind it.
TRACES = hasattr(torch._dynamo.config, "trace_autograd_ops")
KEYS = [3, 1, 4, 15]


class Net(nn.Module):
    """What a step needs: parameters before the transform, so that its own gradient counts, and behind it."""

    def __init__(self, transform: ad.Transform, channels: int = 3) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))
        self.transform, self.head = transform, nn.Linear(channels * 16 * 16, 5)

    def forward(self, x: Tensor, y: Tensor, keys: Tensor) -> Tensor:
        x, y = self.transform(x * self.scale, y, keys=keys)
        return cross_entropy(self.head(x.flatten(1)), y)


def step(net: Net, x: Tensor, y: Tensor, keys: Tensor) -> Tensor:
    """Transform, model, loss, backward and a step of SGD (torch's own optimizers break the graph on purpose)."""
    loss = net(x, y, keys)
    loss.backward()
    with torch.no_grad():
        for p in net.parameters():
            p.sub_(0.1 * p.grad)
            p.grad = None
    return loss.detach()


def batch(device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    x = torch.linspace(-1, 1, 4 * 3 * 16 * 16, device=device).view(4, 3, 16, 16)
    return x, torch.arange(4, device=device), torch.tensor(KEYS)


@pytest.mark.skipif(not TRACES, reason="this torch cannot trace loss.backward()")
@pytest.mark.parametrize("name", ["CutMix", "Mixup", "RandomErasing", "GridMask"])
def test_inductor_trains_as_eager_does(name):
    nets, losses = [], []
    torch._dynamo.reset()
    for run in (step, torch.compile(step, fullgraph=True, backend="inductor")):
        torch.manual_seed(0)
        nets.append(Net(make(name)))
        with torch._dynamo.config.patch(trace_autograd_ops=True):
            losses.append([run(nets[-1], *batch()).item() for _ in range(2)])
    assert losses[0][1] != losses[0][0]
    torch.testing.assert_close(losses[1], losses[0])
    torch.testing.assert_close(nets[1].state_dict(), nets[0].state_dict())


@pytest.mark.parametrize("name", ALL)
def test_cuda_tensors_give_one_graph(name):
    torch._dynamo.reset()
    counters.clear()
    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    transform = make(name)
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device("cuda"):
            net = Net(transform)
        x, y, keys = batch("cuda")
        loss = torch.compile(net, fullgraph=True, backend=keep)(x, y, keys)
    assert loss.device.type == "cuda" and loss.shape == ()
    assert len(graphs) == 1 and not counters["graph_break"]
    # One operator a transform (of a Compose one for each member), and what it gives lies where its images do.
    calls = [n for n in graphs[0].graph.nodes if "augdrop.transform" in str(n.target)]
    assert len(calls) == (3 if name == "Compose" else 1)
    assert {v.device.type for n in calls for v in n.meta["example_value"]} == {"cuda"}
    assert calls[0].meta["example_value"][0].shape == x.shape


@pytest.mark.skipif(not hasattr(torch.Tag, "cudagraph_unsafe"), reason="this torch has no such tag")
def test_the_operator_stays_out_of_cuda_graphs():
    assert torch.Tag.cudagraph_unsafe in torch.ops.augdrop.transform.default.tags


@pytest.mark.parametrize("name", ["CutMix", "GridMask"])
def test_masks_are_made_for_gradients_alone(name):
    t, sizes = make(name), {}
    for grad in (False, True):
        x = torch.ones(2, 3, 16, 16, requires_grad=grad)
        _, mask, numbers = torch.ops.augdrop.transform(x, t._handle, torch.arange(2), None, grad)
        sizes[grad] = [len(mask), numbers.shape[1]]
    mixed = 2 if t.mixes else 0
    assert sizes == {False: [0, mixed], True: [2, mixed]}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("grad", [False, True])
def test_results_are_as_the_fake_ones_and_share_no_memory(name, grad):
    # As on a GPU, where the plan is on the device: torch refuses results that share memory when it runs the operator.
    t, x = make(name), batch()[0]
    given = (t._handle, torch.arange(4), None, grad)
    real = torch.ops.augdrop.transform(x, *given)
    with FakeTensorMode() as mode:
        fake = torch.ops.augdrop.transform(mode.from_tensor(x), *given[:1], None, None, grad)
    assert [(v.shape, v.dtype) for v in real] == [(v.shape, v.dtype) for v in fake]
    assert len({v.untyped_storage().data_ptr() for v in real if v.numel()}) == sum(v.numel() > 0 for v in real)


@pytest.mark.parametrize("mixes", [False, True])
def test_the_gradient_reads_nothing_back_from_cuda(mixes):
    # torch's own engine wants a driver before it runs a backward pass, so the rule is called without it.
    with FakeTensorMode():
        saved = (
            torch.empty(4, 16, 16, dtype=torch.bool, device="cuda"),
            torch.empty(3, 4, dtype=torch.int64, device="cuda"),
        )
        ctx = SimpleNamespace(saved_tensors=saved, shares_pixels=mixes)
        grad = torch.empty(4, 3, 16, 16, device="cuda")
        result, *rest = compiled._backward(ctx, grad)  # a read-back would raise here
    assert (result.shape, result.device, result.dtype) == (grad.shape, grad.device, grad.dtype)
    assert rest == [None] * 4
