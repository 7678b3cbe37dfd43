"""Does live equal the backtest? Decision by decision and fill by fill, and why not where not.

A reason is worked out from what differs, never guessed: candles that one side knew and the other
did not, a position that was not allowed, a decision that was missed, a policy that still holds what
an earlier decision began. Where none of these is found, only model or code are left, and it says
so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from mtf.config.schema import Config
from mtf.market.candles import Candles
from mtf.realtime.decision import Decision
from mtf.realtime.events import Key
from mtf.realtime.seen import Views, clock_words

SAID_TOLERANCE = 1e-5
"""Of what the model said, where that is above 1; below it, as a difference."""
FILL_TOLERANCE = 1e-9
"""Of prices and sizes."""
FILL_NAMES = ("time", "type", "side")
TRADED = ("weight", "confidence", "stop_loss", "take_profit")
"""What an account is traded by."""
Fill = tuple[int, str, int, int]
"""Time (ms), type, side, and how many such there were before it at the same time."""


@dataclass(frozen=True)
class Difference:
    """One decision, or one fill, that is not the same.

    Attributes:
        time_ms: of the decision, or of the fill.
        what: ``decision`` or ``fill``.
        why: in words.
        moves: whether another weight is ordered, or another fill is made.
    """

    time_ms: int
    what: str
    why: str
    moves: bool = True


@dataclass(frozen=True)
class Agreement:
    """How far a session and what was expected of it agree.

    Attributes:
        decisions: that either has.
        fills: that either has.
        differences: in the order of time; of the same time, decisions before fills.
    """

    decisions: int
    fills: int
    differences: tuple[Difference, ...] = ()

    @property
    def same_decisions(self) -> int:
        """How many decisions are identical."""
        return self.decisions - sum(one.what == "decision" for one in self.differences)

    @property
    def same_fills(self) -> int:
        """How many fills are identical."""
        return self.fills - sum(one.what == "fill" for one in self.differences)

    @property
    def identical(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        counted = (
            f"identical {self.same_decisions} of {self.decisions} decisions "
            f"and {self.same_fills} of {self.fills} fills"
        )
        if self.identical:
            return counted
        first = self.differences[0]
        return f"{counted}; first difference at {clock_words(first.time_ms)}, because {first.why}"


def compare(
    config: Config,
    live: Sequence[Decision],
    expected: Sequence[Decision],
    live_fills: pd.DataFrame,
    expected_fills: pd.DataFrame,
    *,
    candles: Mapping[Key, Candles],
    expected_candles: Mapping[Key, Candles] | None = None,
    symbol: str | None = None,
    fill_tolerance: float = FILL_TOLERANCE,
) -> Agreement:
    """Compare a session with what research says of it, or with its replay.

    A decision is identical where its weight and every column that was said are, within 1e-5 of
    their size or of 1; a fill where time, type and side are, and price and size within a tolerance.
    Beside a replay, which judges its streams as the session did, all that a decision says counts.

    Args:
        config: of the run.
        live: decisions of the session, in the order of time.
        expected: those of research (``decisions_of``), which know no streams, or of a replay.
        live_fills: as ``Outcome.fills``; empty = none.
        expected_fills: alike.
        candles: what the session decided on (``as_decided``).
        expected_candles: what research decided on, such as ``on_time(candles)``; None = the same.
        symbol: the primary one; None = the run's first.
        fill_tolerance: of prices and sizes, as a fraction. Where a weight follows from what was
            said without a step, sizes are no more alike than what was said.
    """
    research = candles if expected_candles is None else expected_candles
    views = Views(config, symbol, candles, research)
    decisions = list(_decisions_apart(live, expected, views))
    fills = _by_fill(live_fills), _by_fill(expected_fills)
    moved = [one.time_ms for one in decisions if one.moves]
    differences = [*decisions, *_fills_apart(*fills, views, moved, fill_tolerance)]
    return Agreement(
        decisions=len({one.time_ms for one in (*live, *expected)}),
        fills=len(fills[0].keys() | fills[1].keys()),
        differences=tuple(sorted(differences, key=lambda one: one.time_ms)),
    )


def _decisions_apart(
    live: Sequence[Decision], expected: Sequence[Decision], views: Views
) -> Iterator[Difference]:
    """Every decision that is not the same, and why."""
    ours, theirs = ({one.time_ms: one for one in some} for some in (live, expected))
    root_ms: int | None = None
    for time_ms in sorted(ours.keys() | theirs.keys()):
        own, other = ours.get(time_ms), theirs.get(time_ms)
        if own is None:
            found = Difference(time_ms, "decision", "the decision was missed")
        elif other is None:
            found = Difference(time_ms, "decision", "research makes no decision at that time")
        else:
            apart = _Apart.of(own, other)
            if not any(apart):
                continue
            by_itself = apart.said or apart.judged or not own.allowed
            if apart.traded and not by_itself and root_ms is not None:
                why = f"it follows from the decision at {clock_words(root_ms)}"
                yield Difference(time_ms, "decision", why)
                continue
            why = _why_apart(own, other, apart, views)
            found = Difference(time_ms, "decision", why, bool(apart.traded))
        root_ms = time_ms
        yield found


class _Apart(NamedTuple):
    """What differs of two decisions, in words; empty = nothing does."""

    said: str
    traded: str
    wanted: str
    judged: str

    @classmethod
    def of(cls, own: Decision, other: Decision) -> _Apart:
        """Compare them; of research, which knows no streams, what is said and ordered alone."""
        said = columns_apart(own.said, other.said)
        if not other.streams:
            return cls(said, _numbers_apart(own, other, TRADED[:1]), "", "")
        traded, wanted = (_numbers_apart(own, other, names) for names in (TRADED, ("wanted",)))
        return cls(said, traded, wanted, _judged_apart(own, other))


def _numbers_apart(own: Decision, other: Decision, names: Sequence[str]) -> str:
    """The first of some numbers that differs, in words."""
    for name in names:
        one, two = getattr(own, name), getattr(other, name)
        if _distance(one, two) > SAID_TOLERANCE:
            return f"{name} {one:g} for {two:g}"
    return ""


def _judged_apart(own: Decision, other: Decision) -> str:
    """What differs of streams and gate, in words."""
    for name in {**own.streams, **other.streams}:
        one, two = own.streams.get(name, "not told"), other.streams.get(name, "not told")
        if one != two:
            return f"{name} is {one} for {two}"
    for name in ("allowed", "why"):
        if getattr(own, name) != getattr(other, name):
            return f"{name} is {getattr(own, name)!r} for {getattr(other, name)!r}"
    return ""


def _why_apart(own: Decision, other: Decision, apart: _Apart, views: Views) -> str:
    """Why a decision of the session differs by itself from what was expected."""
    reasons = []
    if apart.said:
        reasons.append(views.why(own.time_ms) or f"{_code('model')}: {apart.said}")
    if not own.allowed and _distance(own.weight, other.weight) > SAID_TOLERANCE:
        reasons.append(f"no position was allowed{_because(own.why)}")
    if not reasons and apart.judged:
        reasons.append(f"{_code('degraded table')}: {apart.judged}")
    if not reasons:
        reasons.append(f"{_code('policy')}: {apart.traded or apart.wanted}")
    return "; ".join(reasons)


def columns_apart(own: Mapping[str, float], other: Mapping[str, float]) -> str:
    """The column that differs most, in words; empty = all are the same."""
    alone = own.keys() ^ other.keys()
    if alone:
        return f"{min(alone)} was said by one of them alone"
    far = {name: _distance(value, other[name]) for name, value in own.items()}
    worst = max(far, key=lambda name: far[name], default="")
    if not far or far[worst] <= SAID_TOLERANCE:
        return ""
    return f"{worst} is {own[worst]:.6g} for {other[worst]:.6g}"


def _distance(own: float, other: float) -> float:
    """Of what was said, as a share of what was expected where that is above 1."""
    if _equal(own, other):
        return 0.0
    distance = abs(own - other) / max(abs(other), 1.0)
    return math.inf if math.isnan(distance) else distance


def _by_fill(fills: pd.DataFrame) -> dict[Fill, tuple[float, float]]:
    """Price and size of every fill."""
    if not len(fills):
        return {}
    times = pd.DatetimeIndex(fills["time"]).as_unit("ms").asi8
    again = fills.groupby(list(FILL_NAMES)).cumcount()
    named = zip(times.tolist(), fills["type"], fills["side"].tolist(), again, strict=True)
    figures = zip(fills["price"].tolist(), fills["size"].tolist(), strict=True)
    return dict(zip(named, figures, strict=True))


def _fills_apart(
    ours: Mapping[Fill, tuple[float, float]],
    theirs: Mapping[Fill, tuple[float, float]],
    views: Views,
    moved: Sequence[int],
    tolerance: float,
) -> Iterator[Difference]:
    """Every fill that is not the same, and why.

    Args:
        ours: of the session.
        theirs: of research.
        views: of the candles.
        moved: times of decisions that ordered something else, ascending.
        tolerance: of prices and sizes.
    """
    first_ms: int | None = None
    for fill in sorted(ours.keys() | theirs.keys()):
        own, other = ours.get(fill), theirs.get(fill)
        if own is not None and other is not None and np.allclose(own, other, tolerance, 0.0):
            continue
        time_ms = fill[0]
        before = [moved_ms for moved_ms in moved if moved_ms <= time_ms]
        if before:
            why = f"it follows from the decision at {clock_words(before[-1])}"
        elif not (why := views.why_traded(time_ms)):
            why = _code("broker")
            if first_ms is not None:
                why = f"it follows from the fill at {clock_words(first_ms)}"
        first_ms = time_ms if first_ms is None else first_ms
        yield Difference(time_ms, "fill", f"{_fill_words(fill, own, other)}: {why}")


def _fill_words(
    fill: Fill, own: tuple[float, float] | None, other: tuple[float, float] | None
) -> str:
    """What differs of a fill."""
    kind = fill[1]
    if own is None:
        return f"a fill of type {kind} is missing"
    if other is None:
        return f"research has no fill of type {kind} then"
    price, size = (f"{one:.10g} for {two:.10g}" for one, two in zip(own, other, strict=True))
    return f"a fill of type {kind} has price {price} and size {size}"


def _because(words: str) -> str:
    return f" ({words})" if words else ""


def _code(what: str) -> str:
    """Where nothing else explains it."""
    return f"nothing but another {what} or other code explains it"


def _equal(one: float, other: float) -> bool:
    """Equal, or both not there."""
    return one == other or (math.isnan(one) and math.isnan(other))


__all__ = ["Agreement", "Difference", "columns_apart", "compare"]
