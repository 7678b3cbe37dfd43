"""A small panel for tests: ETH and SOL beside BTC, on a made-up market."""

from __future__ import annotations

from typing import Any

from tasks import small_task

from mtf.learning.task import Task

SYMBOLS = ["ETHUSDT", "SOLUSDT"]


def small_panel(**changes: Any) -> Task:
    """The small config with two primary symbols, made ready."""
    decisions = {"symbols": SYMBOLS, **changes.pop("decisions", {})}
    return small_task(decisions=decisions, **changes)
