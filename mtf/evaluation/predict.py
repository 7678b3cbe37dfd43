"""From a sweep to ``Predictions``: the plain value that money and reports read, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np

from mtf.learning.sweep import Sweep
from mtf.market.labels import Label
from mtf.plugins.contracts import Arrays, Head
from mtf.predictions import Predictions

Beside = Mapping[str, Mapping[str, Arrays]]
"""What baselines said of classes: head name → baseline → outputs."""


def predictions_of(
    heads: Mapping[str, Head],
    found: Sweep,
    symbol: str,
    part: str,
    beside: Beside = MappingProxyType({}),
) -> Predictions:
    """What every head said of every decision, and what happened.

    Columns are ``<head>.<output>`` and ``<head>.label_<value>``; a head with several targets has
    the target between (``next_candle.1m.close``, ``next_candle.1m.label_close``). Where a target
    has no label the label columns are NaN. What baselines said in the place of a head stands under
    ``baseline.<name>.<head>.<output>``, so that it can be traded and compared alike.
    """
    columns: dict[str, np.ndarray] = {}
    for name, head in heads.items():
        columns |= dict(_outputs(name, head, found.outputs[name]))
        for target, label in found.labels[name].items():
            columns |= dict(_labels(name, head, target, label))
    for name, said in beside.items():
        for who, outputs in said.items():
            columns |= dict(_outputs(baseline_head(who, name), heads[name], outputs))
    return Predictions(found.times, symbol, part, columns)


def columns_of(
    heads: Mapping[str, Head], outputs: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """What every head said, as the columns that ``predictions_of`` names, without what happened."""
    return {
        column: values
        for name, head in heads.items()
        for column, values in _outputs(name, head, outputs[name])
    }


def baseline_head(baseline: str, head: str) -> str:
    """Under which name a baseline stands in the place of a head."""
    return f"baseline.{baseline}.{head}"


def _outputs(
    name: str, head: Head, outputs: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, np.ndarray]]:
    """Columns of a head's outputs."""
    for output, array in outputs.items():
        prefix = f"{name}.{output}" if len(head.targets) > 1 else name
        for column, values in _split(array, head.columns.get(output)):
            yield f"{prefix}.{column}" if column else f"{name}.{output}", values


def _labels(name: str, head: Head, target: str, label: Label) -> Iterator[tuple[str, np.ndarray]]:
    """Columns of a target's label, NaN where there is none."""
    prefix = f"{name}.{target}" if len(head.targets) > 1 else name
    for value, array in label.values.items():
        for column, values in _split(array, head.columns.get(target)):
            present = np.where(label.present, values.astype(np.float64), np.nan)
            yield f"{prefix}.label_{column or value}", present


def _split(array: np.ndarray, names: tuple[str, ...] | None) -> Iterator[tuple[str, np.ndarray]]:
    """The columns of an array ``[decision, column]``, named or numbered; one alone has no name."""
    flat = array.reshape(len(array), -1)
    if flat.shape[1] == 1:
        yield "", flat[:, 0]
        return
    for index in range(flat.shape[1]):
        yield names[index] if names else str(index), flat[:, index]
