"""Runs in tests: a terminal that nobody sees, figures without the speeds."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from mtf.report.terminal import Terminal
from mtf.run import Run


def quiet() -> Terminal:
    """A terminal that nobody sees."""
    return Terminal(Console(file=io.StringIO()))


def figures(run: Run) -> dict[str, Any]:
    """The metrics without the speeds, which differ from run to run."""
    return {key: value for key, value in run.metrics.items() if key != "samples_per_second"}
