"""Where a method comes from."""

from __future__ import annotations

from typing import NamedTuple


class Citation(NamedTuple):
    """Where a method comes from."""

    authors: str
    year: int
    title: str
    arxiv: str = ""

    def __str__(self) -> str:
        return f"{self.authors} ({self.year}), {self.title}" + (f", arXiv {self.arxiv}" if self.arxiv else "")
