"""What a head's primary metric makes of decisions to which other outcomes are dealt.

Where an outcome is nothing to the metric but its class, as to log loss, every decision's share
under every class is computed once and looked up; otherwise the head computes its metrics anew, of
several dealings in one call. Which it is is tried, not asked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float64, Int64

from mtf.market.labels import Label
from mtf.plugins.contracts import Arrays, Head, Metric

MOST = 5_000
"""Distinct outcomes that are looked at, evenly spread, where every dealing is a metric anew …"""
MOST_OF_CLASSES = 50_000
"""… and where what each class would bring every decision is known beforehand."""
ROWS_AT_ONCE = 20_000

Outcomes = Int64[np.ndarray, "outcome member"]
Orders = Int64[np.ndarray, "dealing outcome"]
Shares = Float64[np.ndarray, "dealing outcome member statistic"]


class Pairing(ABC):
    """What every decision adds to the metric when another outcome is dealt to it.

    Args:
        metric: the true one.
        outcomes: how many there are to deal out.
    """

    def __init__(self, metric: Metric, outcomes: int) -> None:
        """Keep how sums become the value."""
        self.finish, self.outcomes = metric.finish, outcomes
        self.sign = -1.0 if metric.higher_is_better is False else 1.0

    @abstractmethod
    def shares(self, orders: Orders) -> Shares:
        """Statistics of every decision, ``orders[:, i]`` being the outcome dealt to the i-th."""

    def at_once(self) -> int:
        """Dealings that fit in memory together."""
        return max(1, ROWS_AT_ONCE // self.outcomes)

    def values(self, sums: np.ndarray) -> np.ndarray:
        """Of the metric, turned so that more is better; NaN where undefined."""
        return np.asarray(self.sign * self.finish(sums), dtype=np.float64)


class _ByClass(Pairing):
    """Of a metric to which an outcome is nothing but its class: looked up in one table a class."""

    def __init__(
        self,
        metric: Metric,
        tables: Float64[np.ndarray, "kind outcome member statistic"],
        kind: Int64[np.ndarray, "outcome member"],
    ) -> None:
        super().__init__(metric, len(kind))
        self.kind, self.tables = kind, tables

    def shares(self, orders: Orders) -> Shares:
        """Look them up."""
        outcome = np.arange(self.outcomes)[:, None]
        member = np.arange(self.kind.shape[1])
        return np.asarray(self.tables[self.kind[orders], outcome, member])


class _ByMetric(Pairing):
    """Of any metric: the head computes it anew, several dealings in one call."""

    def __init__(
        self, metric: Metric, head: Head, target: str, outputs: Arrays, label: Label, rows: Outcomes
    ) -> None:
        super().__init__(metric, len(rows))
        self.head, self.target, self.label, self.rows = head, target, label, rows
        self.outputs = _taken(outputs, rows)

    def shares(self, orders: Orders) -> Shares:
        """Ask the head about all dealings as if they were one long part."""
        count, shape = len(orders), self.rows.T.shape
        outputs = {key: np.concatenate([value] * count) for key, value in self.outputs.items()}
        said_at = np.concatenate([self.rows.T.reshape(-1)] * count)
        happened_at = self.rows[orders].transpose(0, 2, 1).reshape(-1)
        label = _dealt(self.head.task, self.label, said_at, happened_at)
        metric = self.head.metrics(self.target, outputs, label, {})[self.head.primary_metric]
        shares = metric.statistics.reshape(count, *shape, -1)
        return np.asarray(shares.transpose(0, 2, 1, 3))


def pairing_of(
    head: Head, target: str, outputs: Arrays, label: Label, rows: Outcomes
) -> tuple[Pairing | None, str]:
    """The quickest way to deal outcomes out, or why there is none.

    Args:
        head: whose primary metric is wanted.
        target: one of its targets.
        outputs: what was said of every decision.
        label: what happened.
        rows: the decision that stands for each outcome, a column a symbol; evenly thinned out
            where there are more than can be looked at.
    """
    fast = _spread(rows, MOST_OF_CLASSES)
    said, happened = _taken(outputs, fast), label.select(fast.T.reshape(-1))
    metric = head.metrics(target, said, happened, {}).get(head.primary_metric)
    if metric is None:
        return None, f"{head.primary_metric} is not there without baselines"
    classes = happened.values.get("class")
    if classes is not None:
        kinds, kind = np.unique(classes, return_inverse=True)
        tables = np.stack([_as_if(head, target, said, happened, one) for one in kinds.tolist()])
        if np.array_equal(tables[kind, np.arange(len(kind))], metric.statistics, equal_nan=True):
            by_symbol = tables.reshape(len(kinds), *fast.T.shape, -1).transpose(0, 2, 1, 3)
            return _ByClass(metric, by_symbol, kind.reshape(fast.T.shape).T), ""
    return _ByMetric(metric, head, target, outputs, label, _spread(rows, MOST)), ""


def _as_if(head: Head, target: str, said: Arrays, happened: Label, kind: int) -> np.ndarray:
    """Statistics of the primary metric had this class happened every time."""
    values = {**happened.values, "class": np.full_like(happened.values["class"], kind)}
    supposed = Label(values, happened.present, happened.group)
    return head.metrics(target, said, supposed, {})[head.primary_metric].statistics


def _dealt(task: str, label: Label, said_at: np.ndarray, happened_at: np.ndarray) -> Label:
    """The label of some decisions where other decisions' outcomes have come true.

    When a position was decided, and in how volatile a market, was known: only the move is dealt
    out, in units of that.
    """
    own, dealt = label.select(said_at), label.select(happened_at)
    if task != "position":
        return dealt
    move = dealt.values["log_return"] / dealt.values["scale"] * own.values["scale"]
    return Label({**own.values, "log_return": move}, own.present, own.group)


def _taken(outputs: Arrays, rows: Outcomes) -> dict[str, np.ndarray]:
    """What was said at the rows, symbol by symbol."""
    return {key: value[rows.T.reshape(-1)] for key, value in outputs.items()}


def _spread(rows: Outcomes, most: int) -> Int64[np.ndarray, "kept member"]:
    """At most so many outcomes, evenly spread."""
    return rows[:: max(1, -(-len(rows) // most))]


__all__ = ["Outcomes", "Pairing", "pairing_of"]
