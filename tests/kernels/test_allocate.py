"""Room for results: large ones that nothing follows; and what is moved into it is what it would be elsewhere."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import forward_ad

from augdrop.kernels.allocate import empty_like, room
from augdrop.tokens import RandomKeep, Selection, from_mask
from augdrop.tokens.tome import match, merge

LARGE = (8, 900, 1200)
"""35 MB of float32."""


def test_room_is_for_large_results_that_nothing_follows():
    x = torch.zeros(LARGE)
    out = room((8, 901, 1200), x)
    assert out is not None and out.shape == (8, 901, 1200) and out.dtype == x.dtype
    assert room((8, 900, 1000), x) is None
    assert room(LARGE, x, x.to("meta")) is None
    followed = x.clone().requires_grad_()
    assert room(LARGE, x, followed) is None
    with torch.no_grad():
        assert room(LARGE, x, followed) is not None
    with forward_ad.dual_level():
        assert room(LARGE, forward_ad.make_dual(x, x)) is None
    assert room(LARGE, x) is not None
    rooms = []
    torch.vmap(lambda v: rooms.append(room(LARGE, v)) or v)(x[None])
    assert rooms == [None]
    assert empty_like(x.mT).stride() == x.mT.stride()


@pytest.mark.parametrize("padded", [False, True])
def test_large_tokens_move_as_small_ones_do(padded):
    x, token = torch.randn(LARGE), torch.randn(1200)
    if padded:
        keep, padded = from_mask(torch.rand(8, 899) < 0.98)
        selection = Selection(keep, 899, prefix=1, padded=padded)
    else:
        selection = RandomKeep(0.98, prefix=1, seed=0)(x, keys=range(8))
    y = selection.gather(x)
    one_by_one = [selection.gather(x[..., i : i + 1]) for i in (0, 700, 1199)]
    assert torch.equal(y[..., [0, 700, 1199]], torch.cat(one_by_one, -1))
    removed = torch.nn.functional.pad(selection.mask("removed"), (1, 0))[..., None]
    assert torch.equal(selection.scatter(y, fill=-7), x.masked_fill(removed, -7))
    assert torch.equal(selection.scatter(y, fill=token), torch.where(removed, token, x))
    assert torch.equal(selection.labels(x[:, 1:]), y[:, 1:].masked_fill((selection.ids < 0)[..., None], -100))


def test_large_tokens_merge_as_they_do_with_a_gradient():
    x = torch.randn(LARGE)
    source = match(torch.randn(8, 900, 8), 20, 1)
    followed = merge(x.clone().requires_grad_(), source, 880).x
    assert torch.equal(merge(x, source, 880).x, followed.detach())
