"""What a sweep draws from: searched keys as Optuna knows them, and back to values of the config.

Optuna keeps numbers and text; a choice that is a list or a mapping goes by its JSON.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
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


def grid(space: Sequence[Dimension], most: int | None = None) -> list[dict[str, Label]]:
    """Every combination in order, the last key fastest; the first ``most`` of them."""
    keys = [one.key for one in space]
    # So many points take no more values than that of any key.
    values = [itertools.islice(_points(one), most) for one in space]
    points = itertools.islice(itertools.product(*values), most)
    return [dict(zip(keys, point, strict=True)) for point in points]


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


def _points(dimension: Dimension) -> Iterator[Any]:
    """All values of a key that has finitely many, as Optuna keeps them."""
    choices = dimension.search.choices
    if choices is not None:
        return map(_label, choices)
    return (_point(dimension, index) for index in range(_steps(dimension) + 1))


def _last(dimension: Dimension) -> Any:
    """The largest value that a range reaches by its steps: Optuna wants it as the high end."""
    search = dimension.search
    if dimension.whole and search.step is None:
        return search.high
    return _point(dimension, _steps(dimension))


def _point(dimension: Dimension, index: int) -> Any:
    """A value of a range, so many steps from its low end."""
    low, _, step = _range(dimension)
    return (int if dimension.whole else float)(low + step * index)


def _steps(dimension: Dimension) -> int:
    """How many steps of a range lead to its last value."""
    low, high, step = _range(dimension)
    return int((high - low) / step)


def _range(dimension: Dimension) -> tuple[Decimal, Decimal, Decimal]:
    """Ends and step as decimals, as Optuna has them: 3 * 0.1 is 0.30000000000000004 otherwise."""
    search = dimension.search
    low, high = search.ends
    return Decimal(str(low)), Decimal(str(high)), Decimal(str(search.step or 1))


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
