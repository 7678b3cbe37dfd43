"""The figures of metrics.json in rows: a target with its metrics, and each baseline beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mtf.report.figures import Interval

NAN = float("nan")
ORACLE = "oracle"
"""The player who knows the law of a made-up market."""
SMALL = 1e-9
"""Two ways to subtract the same figures differ by less, relative to them."""


@dataclass(frozen=True)
class Beside:
    """A baseline on a target, and the model against it.

    Attributes:
        metrics: the baseline's own figures.
        difference: model - baseline on the primary metric.
        p_two_sided: of the paired test.
        beaten: whether the model is better; None where that is undefined.
    """

    metrics: Mapping[str, Interval]
    difference: float
    p_two_sided: float
    beaten: bool | None


@dataclass(frozen=True)
class Score:
    """A target of a head.

    Attributes:
        name: the head, and the target where it has several.
        metrics: the model's figures.
        n: decisions.
        n_distinct: distinct outcomes among them.
        baselines: by name.
        primary: metric that baselines are compared on.
        others: further figures of the evaluation, such as a permutation's p, by name.
    """

    name: str
    metrics: Mapping[str, Interval]
    n: int
    n_distinct: int
    baselines: Mapping[str, Beside]
    primary: str
    others: Mapping[str, float]

    @property
    def losing(self) -> list[str]:
        """Baselines that are better than the model; the oracle is a limit, not a baseline."""
        return [
            name
            for name, of in self.baselines.items()
            if of.beaten is False and of.difference != 0 and name != ORACLE
        ]


def scores(metrics: Mapping[str, Any], part: str) -> Iterator[Score]:
    """Every target of every head, in the order of the heads."""
    for path, block in _targets(metrics.get(part, {})):
        beside = {
            name: _beside(found)
            for name, tree in metrics.get("baselines", {}).items()
            if (found := _at(tree, path))
        }
        yield _score(path, block, beside)


def _targets(tree: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Targets with the words that lead to them: some heads have one, others several."""
    for head, block in tree.items():
        if not block or any(_is_estimate(one) for one in block.values()):
            yield (head,), block
        else:
            yield from (((head, name), of) for name, of in block.items() if isinstance(of, Mapping))


def _is_estimate(value: Any) -> bool:
    return isinstance(value, Mapping) and "n_distinct" in value


def _at(tree: Any, path: tuple[str, ...]) -> Mapping[str, Any] | None:
    for word in path:
        tree = tree.get(word) if isinstance(tree, Mapping) else None
    return tree if isinstance(tree, Mapping) else None


def _score(path: tuple[str, ...], block: Mapping[str, Any], beside: Mapping[str, Beside]) -> Score:
    found = {name: one for name, one in block.items() if _is_estimate(one)}
    own = _intervals(block)
    return Score(
        " ".join(path),
        own,
        max((int(one["n"]) for one in found.values()), default=0),
        max((int(one["n_distinct"]) for one in found.values()), default=0),
        beside,
        _primary(own, beside),
        dict(_others(block)),
    )


def _others(block: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Numbers beside the metrics, those within a block named after both."""
    for name, one in block.items():
        if isinstance(one, int | float) and not isinstance(one, bool):
            yield name, float(one)
        elif isinstance(one, Mapping) and not _is_estimate(one):
            yield from ((f"{name} {key}", value) for key, value in _others(one))


def _intervals(block: Mapping[str, Any]) -> dict[str, Interval]:
    return {
        name: Interval(*(_number(one[key]) for key in ("value", "low", "high")))
        for name, one in block.items()
        if _is_estimate(one)
    }


def _beside(block: Mapping[str, Any]) -> Beside:
    return Beside(
        _intervals(block),
        _number(block.get("difference")),
        _number(block.get("paired_p")),
        block.get("beaten"),
    )


def _number(value: Any) -> float:
    return NAN if value is None else float(value)


def _primary(own: Mapping[str, Interval], beside: Mapping[str, Beside]) -> str:
    """The metric whose difference stands beside the baselines; the first where none is known.

    metrics.json does not name it: it is the one of which all differences are those told.
    """
    for name, figure in own.items():
        told = [
            abs(figure.value - one.metrics[name].value - one.difference)
            <= SMALL * max(1.0, abs(figure.value))
            for one in beside.values()
            if name in one.metrics and one.difference == one.difference
        ]
        if told and all(told):
            return name
    return next(iter(own), "")


__all__ = ["ORACLE", "Beside", "Score", "scores"]
