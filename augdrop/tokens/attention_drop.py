"""AttentionDrop: the strongest attention is masked, or attention is blurred; two such passes are to agree.

A reconstruction: of arXiv 2504.12088 no public code was found, and what is said of it leaves choices open, each of
which is an option here. The defaults of ``p``, ``top``, ``width``, ``sigma`` and ``weight`` are this package's.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from augdrop.checks import check_choice, check_probability, check_share, check_whole
from augdrop.citation import Citation
from augdrop.errors import fail
from augdrop.rng import Draws
from augdrop.tokens.actions import hide
from augdrop.tokens.perturb import Perturbation, coins

CITATION = Citation(
    "Baig, Gillani, Khan, Shah & Khan",
    2025,
    "AttentionDrop: a novel regularization method for transformer models",
    "2504.12088",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HardMasking(Perturbation):
    """Of the keys that a query attends to most, mask each with probability ``p`` (a reconstruction, see the module).

    Baig, Gillani, Khan, Shah & Khan (2025), AttentionDrop: a novel regularization method for transformer models, arXiv
    2504.12088: hard attention masking.

    Args:
        p: chance of each of them.
        top: how many: their share of the keys, at least one.
        mode: ``"zero_logit"`` sets their logits to 0, as the abstract has it: they weigh exp(0) before normalisation.
            ``"neg_inf"`` hides them: they weigh nothing, and the others make up for it.
        protect_prefix: leave the keys of prefix tokens alone.

    Example:
        >>> logits = torch.tensor([[[[3.0, 1.0, 2.0, 0.0]]]])
        >>> HardMasking(p=1.0, top=0.5, mode="neg_inf", seed=0)(logits).softmax(-1).flatten()[[0, 2]].tolist()
        [0.0, 0.0]
    """

    p: float = 0.1
    top: float = 0.1
    mode: Literal["zero_logit", "neg_inf"] = "zero_logit"
    protect_prefix: bool = True
    citation = CITATION

    def __post_init__(self) -> None:
        super().__post_init__()
        check_probability("HardMasking: p", self.p)
        check_share("HardMasking: top", self.top)
        check_choice("HardMasking: mode", self.mode, ("zero_logit", "neg_inf"))

    def perturb(self, logits: Tensor, draws: Draws, prefix: int) -> Tensor:
        first = prefix if self.protect_prefix else 0
        count = max(1, round(self.top * (logits.shape[-1] - first)))
        best = logits[..., first:].detach().topk(count, -1).indices + first
        masked = torch.zeros_like(logits, dtype=torch.bool)
        masked.scatter_(-1, best, coins(draws, self.p, best.shape[1:], logits.device))
        return hide(logits, masked) if self.mode == "neg_inf" else logits.masked_fill(masked, 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlurredSmoothing(Perturbation):
    """Blur attention along the keys with a Gaussian of random width (a reconstruction, see the module).

    Baig, Gillani, Khan, Shah & Khan (2025), AttentionDrop: a novel regularization method for transformer models, arXiv
    2504.12088: blurred attention smoothing.

    Args:
        width: taps of the kernel, odd.
        sigma: standard deviations, in keys, are uniform in [0, sigma]; 0 leaves attention as it is.
        of: blur the ``"logits"``, or mix blurred ``"probabilities"`` with those that are.
        mix: share of the blurred ones in that mix.
        edge: beyond the ends, keys count as ``"zero"``, or ``"replicate"`` the last one.
        per: one deviation for each ``"sample"``, by its key; or one for the ``"batch"``, that of its first sample.
        grid: ``(h, w)`` of the keys without the prefix, to blur along rows and columns (an extension); None blurs along
            the sequence, across the ends of a grid's rows.
        protect_prefix: leave the keys of prefix tokens out.

    Example:
        >>> blur = BlurredSmoothing(width=3, sigma=1.0, seed=0)
        >>> logits = torch.eye(5)[None, None] * 9
        >>> bool(blur(logits, keys=[1]).max() < logits.max())
        True
    """

    width: int = 3
    sigma: float = 1.0
    of: Literal["logits", "probabilities"] = "logits"
    mix: float = 0.5
    edge: Literal["zero", "replicate"] = "replicate"
    per: Literal["sample", "batch"] = "sample"
    grid: tuple[int, int] | None = None
    protect_prefix: bool = True
    citation = CITATION

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("BlurredSmoothing: width", self.width, 1)
        check_share("BlurredSmoothing: mix", self.mix)
        check_choice("BlurredSmoothing: of", self.of, ("logits", "probabilities"))
        check_choice("BlurredSmoothing: edge", self.edge, ("zero", "replicate"))
        check_choice("BlurredSmoothing: per", self.per, ("sample", "batch"))
        if self.width % 2 == 0 or not 0 <= self.sigma < float("inf"):
            raise fail(
                "BlurredSmoothing",
                got=f"width={self.width}, sigma={self.sigma}",
                expected="odd, and 0 or more",
                fix="3 and 1.0, say.",
            )

    def perturb(self, logits: Tensor, draws: Draws, prefix: int) -> Tensor:
        sigmas = torch.from_numpy(draws.uniforms(1)).to(logits) * self.sigma
        taps = gaussian(sigmas[:1].expand_as(sigmas) if self.per == "batch" else sigmas, self.width)
        first = prefix if self.protect_prefix else 0
        if self.of == "logits":
            return torch.cat([logits[..., :first], self.blur(logits[..., first:], taps)], -1)
        p = logits.softmax(-1)
        blurred = torch.cat([p[..., :first], self.blur(p[..., first:], taps)], -1)
        # Softmax takes the logarithm back, and normalises what has been blurred over an end.
        return ((1 - self.mix) * p + self.mix * blurred).clamp(min=torch.finfo(p.dtype).tiny).log()

    def blur(self, x: Tensor, taps: Tensor) -> Tensor:
        """``x [B, ..., n]`` along the keys; taps ``[B, width]``."""
        if self.grid is None:
            return _along(x, taps, -1, self.edge)
        if torch.Size(self.grid).numel() != x.shape[-1]:
            raise fail(
                "BlurredSmoothing: grid",
                got=self.grid,
                expected=f"sides that multiply to {x.shape[-1]} keys",
                fix="Say how many prefix tokens there are.",
            )
        cells = x.unflatten(-1, self.grid)
        return _along(_along(cells, taps, -1, self.edge), taps, -2, self.edge).flatten(-2)


def gaussian(sigmas: Tensor, width: int) -> Tensor:
    """Normalised Gaussians, ``[B, width]``, of standard deviations ``[B, 1]``; a deviation of 0 is a single tap.

    Example:
        >>> gaussian(torch.tensor([[0.0], [1.0]]), 3)
        tensor([[0.0000, 1.0000, 0.0000],
                [0.2741, 0.4519, 0.2741]])
    """
    offsets = torch.arange(width, device=sigmas.device, dtype=sigmas.dtype) - width // 2
    taps = (-0.5 * (offsets / sigmas.clamp(min=1e-3)).square()).exp()
    return taps / taps.sum(-1, keepdim=True)


def _along(x: Tensor, taps: Tensor, dim: int, edge: str) -> Tensor:
    """Correlate ``x [B, ...]`` with ``taps [B, width]`` along a dimension."""
    n, half = x.shape[dim], taps.shape[1] // 2
    out = torch.zeros_like(x)
    for i, tap in enumerate(taps.T):
        places = torch.arange(n, device=x.device) + i - half
        moved = x.index_select(dim, places.clamp(0, n - 1))
        if edge == "zero":
            inside = ((places >= 0) & (places < n)).view(-1, *[1] * (-dim - 1))
            moved = moved.masked_fill(~inside, 0)
        out = out + moved * tap.view(-1, *[1] * (x.ndim - 1))
    return out


def divergence(first: Tensor, second: Tensor, direction: Literal["forward", "symmetric"] = "forward") -> Tensor:
    """The mean over samples of KL(first || second), of logits ``[B, classes]``; symmetric: of both directions' mean."""
    check_choice("divergence: direction", direction, ("forward", "symmetric"))
    a, b = first.log_softmax(-1), second.log_softmax(-1)
    forward = functional.kl_div(b, a, reduction="batchmean", log_target=True)
    if direction == "forward":
        return forward
    return (forward + functional.kl_div(a, b, reduction="batchmean", log_target=True)) / 2


def consistency_loss(
    first: Tensor,
    second: Tensor,
    target: Tensor,
    weight: float = 1.0,
    task: Literal["mean", "first"] = "mean",
    direction: Literal["forward", "symmetric"] = "forward",
) -> Tensor:
    """Cross-entropy plus the divergence of two passes that were perturbed apart: AttentionDrop's consistency.

    Args:
        first, second: logits ``[B, classes]`` of the two passes, as under two epochs or two seeds.
        target: class numbers ``[B]`` or shares ``[B, classes]``.
        weight: of the divergence.
        task: the cross-entropy is the ``"mean"`` of both passes', or that of the ``"first"``.
        direction: see `divergence`.
    """
    check_choice("consistency_loss: task", task, ("mean", "first"))
    loss = functional.cross_entropy(first, target)
    if task == "mean":
        loss = (loss + functional.cross_entropy(second, target)) / 2
    return loss + weight * divergence(first, second, direction)
