"""A finding: one thing about data that a person should know, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass


def counted(count: int, noun: str) -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        kind: one word for programs, such as ``gaps``.
        text: what was found, with count and dates.
        advice: what to do.
        broken: whether it names a fault of the data, and not only a fact to know.
    """

    kind: str
    text: str
    advice: str
    broken: bool = False

    def __str__(self) -> str:
        """Both sentences in one line."""
        return f"{self.text}; {self.advice}"
