"""What a sweep draws from: searched keys as Optuna knows them, and back to values of the config.

Optuna keeps numbers and text; a choice that is a list or a mapping goes by its JSON.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mtf.config.sweep_file import Dimension

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Label = str | int | float | bool | None
"""A value as Optuna keeps it."""


def distributions(space: Sequence[Dimension]) -> dict[str, BaseDistribution]:
    """Key → what is drawn."""
    return {one.key: _distribution(one) for one in space}


def values_of(space: Sequence[Dimension], params: Mapping[str, Label]) -> dict[str, Any]:
    """Key → value of the config, from what was drawn."""
    return {one.key: _value(one, params[one.key]) for one in space}


def grid(space: Sequence[Dimension]) -> list[dict[str, Label]]:
    """Every combination in order, the last key fastest."""
    keys = [one.key for one in space]
    return [
        dict(zip(keys, point, strict=True)) for point in itertools.product(*map(_points, space))
    ]


def _distribution(dimension: Dimension) -> BaseDistribution:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    search = dimension.search
    if search.choices is not None:
        return CategoricalDistribution([_label(one) for one in search.choices])
    low, high = search.ends
    if dimension.whole:
        return IntDistribution(low, _last(dimension), search.log, int(search.step or 1))
    if search.step is None:
        return FloatDistribution(float(low), float(high), search.log)
    return FloatDistribution(float(low), _last(dimension), step=float(search.step))


def _points(dimension: Dimension) -> list[Any]:
    """All values of a key that has finitely many, as Optuna keeps them."""
    search = dimension.search
    if search.choices is not None:
        return [_label(one) for one in search.choices]
    # As decimals, as Optuna does: three steps of 0.1 are 0.30000000000000004 otherwise.
    low, high, step = (Decimal(str(one)) for one in (*search.ends, search.step or 1))
    kind = int if dimension.whole else float
    return [kind(low + step * index) for index in range(int((high - low) / step) + 1)]


def _last(dimension: Dimension) -> Any:
    """The largest value that a range reaches by its steps: Optuna wants it as the high end."""
    search = dimension.search
    return search.high if dimension.whole and search.step is None else _points(dimension)[-1]


def _value(dimension: Dimension, label: Label) -> Any:
    choices = dimension.search.choices
    return label if choices is None else {_label(one): one for one in choices}[label]


def _label(choice: Any) -> Label:
    """A choice as Optuna keeps it."""
    if isinstance(choice, dict | list):
        return json.dumps(choice)
    plain: Label = choice
    return plain


__all__ = ["Label", "distributions", "grid", "values_of"]
