"""Strength over training: pure functions of the epoch, for a transform's ``p``."""

from __future__ import annotations

import dataclasses

from augdrop.checks import check_probability, check_whole, plain_fields


@dataclasses.dataclass(frozen=True)
class Ramp:
    """From ``start`` at epoch 0 straight to ``stop`` at epoch ``epochs``, constant from there on (GridMask's schedule).

    Example:
        >>> [round(Ramp(0.8, epochs=240)(e), 5) for e in (0, 1, 24, 120, 240, 299)]
        [0.0, 0.00333, 0.08, 0.4, 0.8, 0.8]
    """

    stop: float
    epochs: int
    start: float = 0.0

    def __post_init__(self) -> None:
        plain_fields(self)
        check_probability("Ramp: stop", self.stop)
        check_probability("Ramp: start", self.start)
        check_whole("Ramp: epochs", self.epochs, 1)

    def __call__(self, epoch: int) -> float:
        return self.start + (self.stop - self.start) * min(1.0, epoch / self.epochs)
