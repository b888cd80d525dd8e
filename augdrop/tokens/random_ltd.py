"""random-LTD: every middle layer runs on a random part of the tokens, each on its own."""

from __future__ import annotations

import dataclasses

from augdrop.checks import check_whole, plain, plain_fields
from augdrop.citation import Citation
from augdrop.rng import stream_key
from augdrop.tokens.budgets import Count, Ratio
from augdrop.tokens.random_keep import RandomKeep
from augdrop.tokens.span import Span

CITATION = Citation(
    "Yao, Wu, Li, Holmes, Zhang, Li & He",
    2022,
    "Random-LTD: random and layerwise token dropping brings efficient training for large-scale transformers",
    "2211.11586",
)


def random_ltd(depth: int, keep: float | int | Ratio | Count = 0.5, seed: int = 0) -> tuple[Span, ...]:
    """A span for each layer of ``depth`` but the first and the last, each with a draw of its own, for `attach`.

    Yao, Wu, Li, Holmes, Zhang, Li & He (2022), Random-LTD: random and layerwise token dropping brings efficient
    training for large-scale transformers, arXiv 2211.11586. Training only; kept tokens are in ascending order.

    Args:
        keep: kept share of the tokens, or (an integer) how many, or a budget.
        seed: any integer.

    Example:
        >>> spans = random_ltd(12, keep=98)
        >>> len(spans), (spans[0].start, spans[0].stop), (spans[-1].start, spans[-1].stop)
        (10, (1, 2), (10, 11))
    """
    keep = plain(keep)
    check_whole("random_ltd: depth", depth, 3)
    budget = Count(keep) if isinstance(keep, int) else keep
    seeds = (int(stream_key(seed, f"random-LTD/{layer}")) for layer in range(1, depth - 1))
    return tuple(Span(RandomKeep(budget, seed=s), layer, layer + 1) for layer, s in enumerate(seeds, 1))


@dataclasses.dataclass(frozen=True)
class GrowingLength:
    """How many tokens are kept at each training step: from ``least`` straight to ``most``, floored to a multiple.

    Args:
        steps: step at which ``most`` is reached.
        multiple: kept numbers are multiples of it.

    Example:
        >>> length = GrowingLength(least=128, most=512, steps=100, multiple=16)
        >>> [length(step) for step in (0, 1, 5, 50, 99, 100, 500)]
        [128, 128, 144, 320, 496, 512, 512]
    """

    least: int
    most: int
    steps: int
    multiple: int = 16

    def __post_init__(self) -> None:
        plain_fields(self)
        check_whole("GrowingLength: steps", self.steps, 1)
        check_whole("GrowingLength: multiple", self.multiple, 1)
        check_whole("GrowingLength: least", self.least, self.multiple)
        check_whole("GrowingLength: most", self.most, self.least)

    def __call__(self, step: int) -> int:
        grown = self.least + (self.most - self.least) * min(step, self.steps) // self.steps
        return self.most if step >= self.steps else grown - grown % self.multiple
