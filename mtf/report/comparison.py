"""Runs side by side, as sections: what differs in their configs, their figures, who beats whom."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mtf.evaluation.between_runs import Between
from mtf.report.decimate import kept
from mtf.report.figures import Content, Line, Lines, Note, Section, Table
from mtf.report.figures_of_forecasts import with_interval
from mtf.report.figures_of_money import amount
from mtf.report.material import Material
from mtf.report.scores import scores
from mtf.report.tensorboard import flattened
from mtf.report.terminal import SURE, number, spoken

ABSENT = "–"
CHOSEN = (
    "p of a two-sided paired bootstrap over whole days. The p are not corrected for how many runs "
    "and targets are compared, and the better of several runs was chosen on these very decisions."
)


@dataclass(frozen=True)
class Compared:
    """Runs to be put beside each other; the others are compared with the first.

    Attributes:
        material: what there is of each.
        configs: the settings of each.
        between: of every run but the first, the first against it; or why they can't be compared.
    """

    material: Sequence[Material]
    configs: Sequence[Mapping[str, Any]]
    between: Sequence[Sequence[Between] | str]

    @property
    def names(self) -> list[str]:
        """Of the runs."""
        return [one.name for one in self.material]


def compared_sections(found: Compared) -> list[Section]:
    """Who beats whom, the figures, money, and the configs."""
    return [
        Section("On the decisions they share", list(_between(found))),
        Section("Metrics side by side", [metrics_table(found)]),
        Section("Money side by side", list(_money(found))),
        Section("What differs in their configs", [config_table(found)]),
    ]


def sentence(found: Compared) -> str:
    """Who is better in the first target that can be compared, pair by pair."""
    told = [
        _told(found.names[0], name, one)
        for name, one in zip(found.names[1:], found.between, strict=True)
    ]
    return " ".join(told)


def _told(first: str, second: str, found: Sequence[Between] | str) -> str:
    if isinstance(found, str):
        return f"{first} and {second} can't be compared: {found}."
    known = [one for one in found if math.isfinite(one.comparison.difference)]
    if not known:
        return f"{first} and {second} can't be compared: their labels differ."
    one = known[0]
    what = f"{one.target} {spoken(one.metric)}"
    return f"{first} {better(one)} {second} in {what} ({sure(one)})."


def better(one: Between) -> str:
    """``is better than`` and so on, seen from the first run."""
    if one.comparison.difference == 0:
        return "equals"
    return "is better than" if one.comparison.difference < 0 else "is worse than"


def sure(one: Between) -> str:
    """``p=0.01``, with a word where that may be chance."""
    p = one.comparison.p_two_sided
    if not math.isfinite(p):
        return "p unknown"
    return f"p={p:.2g}{', may be chance' if p > SURE else ''}"


def _between(found: Compared) -> Iterator[Content]:
    for name, one in zip(found.names[1:], found.between, strict=True):
        if isinstance(one, str):
            yield Note(f"{found.names[0]} and {name} can't be compared: {one}.")
        else:
            yield between_table(found.names[0], name, one, label_keys(found.configs))
    yield Note(CHOSEN)


def between_table(
    first: str, second: str, found: Sequence[Between], keys: Sequence[str] = ()
) -> Table:
    """A row a target; where labels differ that instead of figures."""
    rows = []
    for one in found:
        head = [one.target, spoken(one.metric), f"{one.n:,}", f"{one.days:,}"]
        if one.differ:
            named = [key for key in keys if key.split(".")[1] == one.target.split(".")[0]]
            why = f" ({', '.join(named)})" if named else ""
            told = f"not compared: labels differ on {one.differ:,} decisions{why}"
            rows.append([*head, ABSENT, ABSENT, ABSENT, told])
            continue
        figures = map(number, (one.first, one.second, one.comparison.difference))
        rows.append([*head, *figures, f"the first {better(one)} the second ({sure(one)})"])
    header = ["", "metric", "decisions", "days", "first", "second", "first - second", ""]
    return Table(f"{first} (first) against {second} (second)", header, rows)


def label_keys(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Settings of heads that differ."""
    return [key for key in differences(configs) if key.startswith("heads.")]


def differences(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Dotted keys that are not the same in all configs, with the value of each run."""
    flat = [dict(flattened(config)) for config in configs]
    keys = dict.fromkeys(key for one in flat for key in one)
    values = {key: [str(one.get(key, ABSENT)) for one in flat] for key in keys}
    return {key: told for key, told in values.items() if len(set(told)) > 1}


def config_table(found: Compared) -> Table | Note:
    """Only the keys that differ."""
    rows = [[key, *told] for key, told in differences(found.configs).items()]
    if not rows:
        return Note("The configs are the same.")
    return Table("", ["key", *found.names], rows, note=f"{ABSENT}: a key that the run lacks.")


def metrics_table(found: Compared) -> Table | Note:
    """Every metric of every target with its interval, a run a column."""
    cells: dict[tuple[str, str], list[str]] = {}
    for index, material in enumerate(found.material):
        for one in scores(material.metrics or {}, material.part):
            for metric, figure in one.metrics.items():
                row = cells.setdefault((one.name, metric), [ABSENT] * len(found.material))
                row[index] = with_interval(figure)
    if not cells:
        return Note("None of the runs was evaluated.")
    rows = [[name, spoken(metric), *told] for (name, metric), told in cells.items()]
    note = (
        "Each on all decisions of its own evaluated part, 95 % intervals in brackets. Where the "
        "parts differ these figures don't compare; the table above does."
    )
    return Table("", ["", "metric", *found.names], rows, note=note)


def _money(found: Compared) -> Iterator[Content]:
    """Figures of each run's strategy, and the curves of its equity."""
    cells: dict[tuple[str, str], list[str]] = {}
    for index, material in enumerate(found.material):
        for money in material.money:
            own = next(iter(money.metrics.values()), {})
            for name, figure in own.items():
                row = cells.setdefault((money.symbol, name), [ABSENT] * len(found.material))
                row[index] = amount(name, figure)
    if not cells:
        yield Note("None of the runs was traded: mtf backtest RUN.")
        return
    rows = [[symbol, spoken(name), *told] for (symbol, name), told in cells.items()]
    yield Table("", ["", "", *found.names], rows, note="Net of costs; 95 % intervals in brackets.")
    for symbol in dict.fromkeys(symbol for symbol, _ in cells):
        yield equities(found, symbol)


def equities(found: Compared, symbol: str) -> Lines:
    """Equity of each run's strategy on one symbol."""
    lines = []
    for material in found.material:
        for money in material.money:
            curve = next(iter(money.curves.values()), None)
            if money.symbol == symbol and curve is not None:
                rows = kept(curve.equity)
                y = curve.equity[rows] / money.capital
                lines.append(Line(material.name, curve.time[rows], y))
    return Lines(f"Equity on {symbol}", lines, "", "equity / capital", of_time=True)


__all__ = ["Compared", "between_table", "compared_sections", "differences", "sentence"]
