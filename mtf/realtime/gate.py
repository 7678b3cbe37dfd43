"""May a position be held? What is missing, what the model is worth without it, and what halts it.

Two kinds of reasons. A *halt* stands above the model: the candles that decide do not come, or the
clocks disagree. Short of that streams may be late, thin or absent: decisions go on from what is
there if the run's degraded table says that this is worth something beyond chance, else nothing is
held. A reason ends when its cause ends; nothing is remembered from one decision to the next.

Knows nothing of feeds and accounts.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from mtf.evaluation.cells import Cell, present_cell
from mtf.market.asof import Known
from mtf.market.stream import StreamSpec
from mtf.realtime.degraded_table import DegradedTable
from mtf.realtime.events import Key, State

PRESENT, ABSENT, LATE, FROZEN, THIN = "present", "absent", "late by ", "frozen", "thin"
MOST_AHEAD_MS = 1_000
"""Our clock may be so far ahead of the exchange's; beyond, it refuses orders whatever is done."""
MOST_BEHIND_MS = 5_000
"""Alike behind: the time that an order is good for."""
SILENT_INTERVALS = 2
"""After so many without a close nothing is decided."""
FLAT = "so no position is wanted"
NONE_COUNTED: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True)
class Verdict:
    """Whether a position may be held.

    Attributes:
        allowed: it may.
        halted: what halts everything; empty = nothing does.
        degraded: which streams are missing and what that means; empty = none is.
        orders: whether any order may be sent, one that closes a position included.
    """

    allowed: bool
    halted: str = ""
    degraded: str = ""
    orders: bool = True

    @property
    def why(self) -> str:
        """All reasons, the gravest first; empty = there is nothing to say."""
        return "; ".join(reason for reason in (self.halted, self.degraded) if reason)

    def weight(self, wanted: float) -> float:
        """What is ordered where a weight is wanted: that, or flat, or NaN = leave it as it is."""
        if self.allowed:
            return wanted
        return 0.0 if self.orders else math.nan


def stream_conditions(
    specs: Sequence[StreamSpec],
    known: Mapping[str, Known],
    frozen: Collection[str] = (),
    usable: Mapping[str, int] = NONE_COUNTED,
) -> dict[str, str]:
    """Of every stream its condition in words.

    ``present``, ``late by 2`` (of its candles), ``frozen``, ``thin (49 of 600)`` (less than half of
    its lookback is there) or ``absent``. A derived stream goes with its source, and is late by as
    many candles of that one.

    Args:
        specs: the streams, in the order of the config.
        known: of each at one decision.
        frozen: delivered streams that tell candles in which nothing traded.
        usable: slots of the lookback, of streams that may be thin (``StreamsTold.usable``).
    """
    by_name = {spec.name: spec for spec in specs}

    def condition(spec: StreamSpec) -> str:
        own = _own_condition(spec, known[spec.name], usable.get(spec.name, spec.lookback))
        if own == PRESENT and spec.name in frozen:
            return FROZEN
        if spec.derived_from is None or own == ABSENT:
            return own
        source = condition(by_name[spec.derived_from])
        return own if source == PRESENT else source

    return {spec.name: condition(spec) for spec in specs}


def _own_condition(spec: StreamSpec, known: Known, usable: int) -> str:
    """Of a stream by itself."""
    if not known.present[0]:
        return ABSENT
    if 2 * usable < spec.lookback:
        return f"{THIN} ({usable} of {spec.lookback})"
    # The newest slot of the timetable closed its latency ago, or up to one slot before that.
    slots = (int(known.age_ms[0]) - spec.latency_ms) // spec.timeframe.duration_ms
    return f"{LATE}{slots}" if slots > 0 else PRESENT


@dataclass(frozen=True)
class Gate:
    """Judges every decision.

    Attributes:
        specs: the streams, in the order of the config.
        clock: symbol and timeframe of the candles at whose closes decisions are made.
        table: what the run is worth while streams are missing; None = that was not measured.
        run: how the run is called where it is to be measured.
        note: what to know of the table; empty = nothing.
    """

    specs: Sequence[StreamSpec]
    clock: Key
    table: DegradedTable | None
    run: str = "RUN"
    note: str = ""

    def judge(
        self,
        conditions: Mapping[str, str],
        *,
        since_last_close_ms: int,
        state: State,
        offset_ms: int,
    ) -> Verdict:
        """Whether a position may be held from this decision on.

        Args:
            conditions: of every stream, see ``stream_conditions``.
            since_last_close_ms: from the close of the clock's last candle to the decision.
            state: of the clock's candles.
            offset_ms: what the exchange's clock is ahead of ours.
        """
        halts = [self.clocks(offset_ms), *self._candles(since_last_close_ms, state)]
        halted = "; ".join(halt for halt in halts if halt)
        worth_it, degraded = self._degraded(conditions, halted=bool(halted))
        return Verdict(worth_it and not halted, halted, degraded, orders=not halts[0])

    def clocks(self, offset_ms: int) -> str:
        """Why no order may be made, where the clocks disagree too much; else nothing."""
        if -MOST_AHEAD_MS <= offset_ms <= MOST_BEHIND_MS:
            return ""
        side, most = ("ahead of", MOST_AHEAD_MS) if offset_ms < 0 else ("behind", MOST_BEHIND_MS)
        return (
            f"this machine's clock is {abs(offset_ms):,} ms {side} the exchange's, more than "
            f"{most:,} ms, so no order is made, not even on paper: set the clock by NTP, or begin "
            "with --new where a stand-in was started again"
        )

    def _candles(self, since_last_close_ms: int, state: State) -> list[str]:
        """What is wrong with the candles that decide."""
        symbol, timeframe = self.clock
        reasons = []
        if since_last_close_ms >= SILENT_INTERVALS * timeframe.duration_ms:
            reasons.append(f"nothing of {symbol} {timeframe} closed for two intervals or more")
        if state == "frozen":
            reasons.append(f"{symbol} {timeframe} is frozen: nothing traded for two intervals")
        # Candles are told in order: where the newest is there, nothing before it is missing.
        if state in ("starting", "filling") and since_last_close_ms > 0:
            reasons.append(f"candles of {symbol} {timeframe} are still being filled in")
        return [f"{reason}, {FLAT}" for reason in reasons]

    def _degraded(self, conditions: Mapping[str, str], *, halted: bool) -> tuple[bool, str]:
        """Whether what is there is worth deciding on, and a sentence about what is not."""
        missing = self._missing(conditions)
        if not missing:
            return True, ""
        told = " and ".join(f"{name} is {condition}" for name, condition in missing.items())
        without = "without it" if len(missing) == 1 else "without them"
        unmeasured = f"{told} and nothing was measured {without}, {FLAT}"
        if self.table is None:
            return False, f"{unmeasured}: run mtf evaluate {self.run} --degraded"
        cell = self._cell(self.table, conditions, missing)
        worth = self.table.value(cell)
        if not cell.streams:
            return False, f"{told}: no stream is whole, {FLAT}"
        if worth is None or math.isnan(worth.value):
            return False, unmeasured
        under = without
        if cell.kind != "present":
            under = f"{cell.kind} {'by' if cell.kind == 'late' else 'for'} {cell.slots}"
        said = f"{told}: {under} {self.table.spoken(worth)}"
        if worth.low > 0:  # a low end that is unknown is not
            return True, f"{said}, {'which is enough' if halted else 'so decisions go on'}"
        return False, f"{said}, {FLAT}"

    def _missing(self, conditions: Mapping[str, str]) -> dict[str, str]:
        """Streams that are not whole, without those that only go with their source."""
        return {
            spec.name: conditions[spec.name]
            for spec in self.specs
            if conditions[spec.name] != PRESENT
            and (
                spec.derived_from is None or conditions[spec.name] != conditions[spec.derived_from]
            )
        }

    def _cell(
        self, table: DegradedTable, conditions: Mapping[str, str], missing: Mapping[str, str]
    ) -> Cell:
        """The condition that was measured and is not better than this one.

        One late stream is looked up as late by as much or the next more that was measured, a frozen
        one as frozen for the longest; else whatever is not whole counts as absent.
        """
        (name, condition), *others = missing.items()
        cell = None
        if not others and condition == FROZEN:
            cell = table.frozen(name)
        if not others and condition.startswith(LATE):
            cell = table.late(name, int(condition.removeprefix(LATE)))
        if cell is not None:
            return cell
        whole = [name for name, condition in conditions.items() if condition == PRESENT]
        return present_cell(self.specs, whole)


__all__ = ["ABSENT", "PRESENT", "Gate", "Verdict", "stream_conditions"]
