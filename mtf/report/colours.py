"""The colours of both drawings: the model stands out, references step back."""

from __future__ import annotations

from collections.abc import Sequence

from mtf.report.figures import Line, Role

MODEL = ("#1f6fd6", "#d1495b", "#2a9d6f")
"""Of the model's lines, in order."""
BASELINES = ("#e08a1e", "#8e5bb5", "#4f9a94", "#b5651d", "#7a8b2f", "#c2679b", "#5b6f8f")
REFERENCE = "#8a8a8a"
UP, DOWN = "#2a9d6f", "#d1495b"
BLUES = ((0.0, "#f2f6fc"), (0.5, "#7fb0e8"), (1.0, "#0b4a94"))
AROUND_ZERO = ((0.0, "#c03a4b"), (0.5, "#f5f5f5"), (1.0, "#1f6fd6"))
MARKS = {"up": "#1f6fd6", "down": "#e08a1e", "cross": "#6b6b6b"}


def of_lines(lines: Sequence[Line]) -> list[str]:
    """A colour a line."""
    return of_roles([line.role for line in lines])


def of_roles(roles: Sequence[Role]) -> list[str]:
    """A colour each, by what it stands for and how many of these stand before it."""
    found = []
    for index, role in enumerate(roles):
        before = list(roles[:index]).count(role)
        own = {"model": MODEL, "baseline": BASELINES, "reference": (REFERENCE,)}[role]
        found.append(own[before % len(own)])
    return found


def see_through(colour: str, alpha: float) -> str:
    """``rgba(…)`` of a colour."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"
