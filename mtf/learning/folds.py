"""Folds along time: every one learns from what lies before its test block, and the blocks tile.

The decisions up to the first test block are the first training span; what is left is cut by clock
time into test blocks of equal length, without gap or overlap. The training span of a fold ends
where its test block begins, or an embargo before; it is cut, in the order of time, into train,
validation and calibration. As everywhere, a label beyond the end of its part is absent
(``mtf.learning.targets``), so nothing of a test block is known before it; features may look back.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TypeAlias

from mtf.config.schema import WalkForwardConfig
from mtf.errors import DataError
from mtf.learning.splits import Part
from mtf.market.timeframe import Timeframe
from mtf.market.times import iso

Fold: TypeAlias = dict[str, Part]
"""The four parts of one fold by name."""


def folds(start_ms: int, end_ms: int, config: WalkForwardConfig, clock: Timeframe) -> list[Fold]:
    """Cut ``[start_ms, end_ms)`` into folds, in the order of time.

    Args:
        start_ms: first decision time at the earliest.
        end_ms: all decision times lie before it.
        config: how many folds, and how long their parts are.
        clock: the timeframe at whose closes decisions are made; borders lie on such.

    Returns:
        Of each fold train, validation, calibration and test.

    Raises:
        DataError: a part without a single close of the clock.
    """
    first = start_ms + length_ms(config.first_train, end_ms - start_ms)
    step = (end_ms - first) / config.folds
    edges = [_floor(first + round(step * index), clock) for index in range(config.folds)] + [end_ms]
    found = []
    for index, (begin, end) in enumerate(pairwise(edges)):
        rolled = begin - edges[0] if config.window == "rolling" else 0
        parts = _parts(start_ms + rolled, begin, end, config, clock)
        _check(index, parts, config, clock)
        found.append(parts)
    return found


def length_ms(length: float | str, whole_ms: int) -> int:
    """Milliseconds of a share of ``whole_ms``, or of a duration such as ``30d``."""
    if isinstance(length, str):
        return Timeframe.parse(length).duration_ms
    return round(length * whole_ms)


def _parts(
    start_ms: int, test_ms: int, end_ms: int, config: WalkForwardConfig, clock: Timeframe
) -> Fold:
    """The parts of the fold that learns from ``start_ms`` on and is tested from ``test_ms`` on."""
    embargo = config.embargo.duration_ms if config.embargo else 0
    last = _floor(test_ms - embargo, clock)
    calibration = _floor(last - length_ms(config.calibration, last - start_ms), clock)
    validation = _floor(calibration - length_ms(config.validation, last - start_ms), clock)
    return {
        "train": Part("train", start_ms, validation),
        "validation": Part("validation", validation, calibration),
        "calibration": Part("calibration", calibration, last),
        "test": Part("test", test_ms, end_ms),
    }


def _floor(time_ms: int, clock: Timeframe) -> int:
    """The last close of the clock at or before a time."""
    return clock.open_time(clock.slot(time_ms))


def _check(index: int, parts: Fold, config: WalkForwardConfig, clock: Timeframe) -> None:
    """Every part of a fold needs a decision.

    Raises:
        DataError: with the part, and the keys that set lengths.
    """
    for name, part in parts.items():
        if not len(part.times(clock)):
            raise DataError(
                f"fold {index + 1} of {config.folds}: the {name} part, {iso(part.start_ms)} to "
                f"{iso(part.end_ms)}, has no decision",
                "at least one decision in every part of every fold",
                "widen decisions.start … decisions.end, or change the lengths under walk_forward: "
                f"first_train {config.first_train}, validation {config.validation}, "
                f"calibration {config.calibration}, folds {config.folds}",
            )


__all__ = ["Fold", "folds", "length_ms"]
