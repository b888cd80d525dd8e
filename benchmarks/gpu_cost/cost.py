"""The sum of what was seen."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Cost:
    """What one call makes a GPU and its host do.

    launches: kernels, at least: an operator that runs several counts once.
    copies: host-to-device copies; ``copied`` are their bytes.
    syncs: times that the host waits for the device.
    read, written: bytes of device memory that kernels read and write; ``parameters`` of what AugDrop's kernels read
        are plans and not images.
    stopped: the operator that could not go on, so that all numbers are "at least"; None after a whole call.
    kernels, waits: by name, what was launched and what was waited for.
    """

    launches: int = 0
    copies: int = 0
    copied: int = 0
    syncs: int = 0
    read: int = 0
    written: int = 0
    parameters: int = 0
    stopped: str | None = None
    kernels: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)

    def launch(self, name: str, read: int, written: int) -> None:
        self.launches += 1
        self.kernels[name] += 1
        self.read += read
        self.written += written

    def copy(self, name: str, size: int, waits: bool) -> None:
        """A copy from the host; one that does not say ``non_blocking`` ends in a wait for the stream."""
        self.copies += 1
        self.copied += size
        if waits:
            self.wait(name)

    def wait(self, name: str) -> None:
        self.syncs += 1
        self.waits[name] += 1

    @property
    def bytes(self) -> int:
        return self.read + self.written
