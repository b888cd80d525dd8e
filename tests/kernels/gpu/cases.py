"""Where kernels run in these tests: on a GPU if there is one, else in Triton's interpreter."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from augdrop import Plan
from augdrop.kernels import gpus
from augdrop.kernels.dispatch import apply, use_backend
from tests.kernels.cases import alike, twin

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

needs_triton = pytest.mark.skipif(not gpus.available(), reason="no Triton here")

SMALL = (13, 21)


def there(x: Tensor) -> Tensor:
    """A copy on the device, with the very strides of ``x``."""
    copy = twin(x)
    if DEVICE.type == "cpu":
        return copy
    reach = 1 + sum((n - 1) * s for n, s in zip(x.shape, x.stride(), strict=True))
    flat = copy.as_strided((reach,), (1,)).to(DEVICE)
    return flat.as_strided(x.shape, x.stride())


def check(x: Tensor, plan: Plan, source: Tensor | None = None, inplace: bool = True) -> None:
    """Assert that the kernels do what plain torch does, out of place and (unless told otherwise) in place."""
    with use_backend("reference"):
        expected = apply(x, plan, source=source)
    given = {} if source is None else {"source": there(source)}
    with use_backend("cuda"):
        images = there(x)
        result = apply(images, plan, **given)
        assert alike(result.cpu(), expected)
        assert result.stride() == torch.empty_like(x).stride()
        assert alike(images.cpu(), x)
        if inplace:
            assert apply(images, plan, inplace=True, **given) is images
            assert alike(images.cpu(), expected), "in place"
