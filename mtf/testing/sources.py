"""The contract of a data source, tried out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import combinations

import numpy as np

from mtf.market.candles import CLOSE, HIGH, LOW, OPEN, VOLUME, Candles
from mtf.market.finding import counted
from mtf.market.second_source import compare
from mtf.market.times import iso
from mtf.plugins.contracts import DataSource, Request
from mtf.testing.contract import Check, require
from mtf.testing.market import candle_words
from mtf.testing.probe import defect

CUTS = 12
"""Earlier ends of a request that are tried."""

Factory = Callable[[], DataSource]


def check_data_source(factory: Factory, requests: Sequence[Request]) -> None:
    """Try whether a data source keeps its contract on requests that it can answer.

    Args:
        factory: the class, or anything that builds one without arguments.
        requests: at least one; together they should name each kind of candles the source has.

    Raises:
        ContractError: answers that are missing or out of order; candles beyond the request; not
            deterministic; values that are no candles; candles known before their close; candles
            that depend on where the request ends (not closed yet, or filled from later ones);
            timeframes of a symbol that are shifted against each other.
    """
    require(checks_of_data_source(factory, requests))


def checks_of_data_source(
    factory: Factory, requests: Sequence[Request], *, seed: int = 0
) -> tuple[Check, ...]:
    """The promises of a data source, one by one; arguments as of ``check_data_source``."""
    trial = SourceTrial(factory, requests)
    return (
        Check("build", trial.build, vital=True, seed=seed),
        Check("order", trial.order, vital=True, seed=seed),
        Check("range", trial.range, seed=seed),
        Check("values", trial.values, seed=seed),
        Check("known at close", trial.known_at_close, seed=seed),
        Check("determinism", trial.determinism, seed=seed),
        Check("earlier ends", trial.earlier_ends, seed=seed),
        Check("timeframes", trial.timeframes, seed=seed),
    )


class SourceTrial:
    """A data source and what is asked of it.

    Args:
        factory: builds it.
        requests: that it can answer.
    """

    def __init__(self, factory: Factory, requests: Sequence[Request]) -> None:
        self.factory, self.requests = factory, requests

    @cached_property
    def source(self) -> DataSource:
        """What is tried."""
        return self.factory()

    @cached_property
    def answers(self) -> list[Candles]:
        """To the requests."""
        return self.source.load(self.requests)

    def build(self) -> str:
        """It is a data source."""
        built: object = self.source
        if not isinstance(built, DataSource) and not callable(getattr(built, "load", None)):
            raise defect(
                self.source, "is no DataSource", "a subclass of mtf.plugins.contracts.DataSource"
            )
        return ""

    def order(self) -> str:
        """One answer a request, in order."""
        self._require_order(self.answers)
        return ", ".join(
            f"{candles.symbol} {candles.timeframe}: {int(candles.valid.sum()):,} candles"
            for candles in self.answers
        )

    def _require_order(self, answers: Sequence[Candles]) -> None:
        wanted = [(request.symbol, request.timeframe.name) for request in self.requests]
        found = [(candles.symbol, candles.timeframe.name) for candles in answers]
        if found != wanted:
            raise defect(
                self.source,
                f"not sorted: answers {found}",
                f"one answer a request, in order: {wanted}",
            )

    def range(self) -> str:
        """Nothing beyond the request."""
        for request, candles in zip(self.requests, self.answers, strict=True):
            opens = candles.open_time()[candles.valid]
            if len(opens) and (opens[0] < request.start_ms or opens[-1] >= request.end_ms):
                raise defect(
                    self.source,
                    f"{_name(candles)} candles from {opens[0]} to {opens[-1]} were not asked for",
                    f"open times in [{request.start_ms}, {request.end_ms})",
                )
        return ""

    def values(self) -> str:
        """Candles, and NaN where there is none."""
        for candles in self.answers:
            rows, absent = candles.ohlcv[candles.valid], candles.ohlcv[~candles.valid]
            prices = rows[:, :VOLUME]
            sound = np.isfinite(rows).all() and (prices > 0).all() and (rows[:, VOLUME] >= 0).all()
            inside = [prices[:, OPEN], prices[:, CLOSE]]
            sound = sound and (prices[:, HIGH] >= np.maximum(*inside)).all()
            sound = sound and (prices[:, LOW] <= np.minimum(*inside)).all()
            if not sound or not np.isnan(absent).all():
                raise defect(
                    self.source,
                    f"{_name(candles)} holds rows that are no candles",
                    "low <= open, close <= high, prices above 0, volume at least 0; NaN where "
                    "absent",
                    "build them with Candles.from_rows, which checks them",
                )
        return ""

    def known_at_close(self) -> str:
        """No candle may be known before it closes."""
        for candles in self.answers:
            if candles.available_at is None:
                continue
            close_time = candles.open_time() + candles.timeframe.duration_ms
            early = (candles.available_at < close_time) & candles.valid
            if early.any():
                row = int(np.argmax(early))
                raise defect(
                    self.source,
                    f"a candle is known before its close: {candles.symbol} "
                    f"{candle_words(candles, row)}, available_at "
                    f"{iso(int(candles.available_at[row]))}",
                    "available_at at or after the close",
                    "close_time = open_time + duration; the open is not when a candle is known",
                )
        return ""

    def determinism(self) -> str:
        """The same when asked again."""
        for other in (self.source, self.factory()):
            again = other.load(self.requests)
            self._require_order(again)
            if [c.fingerprint() for c in self.answers] != [c.fingerprint() for c in again]:
                raise defect(
                    self.source,
                    "not deterministic: asked twice, it answers differently",
                    "the same candles for the same request",
                    "fix the seed, or read what was stored",
                )
        return ""

    def earlier_ends(self) -> str:
        """A candle is the same whether or not later ones are asked for: closed, and not filled."""
        cuts = self._cuts()
        for cut in cuts:
            asked = [replace(r, end_ms=min(r.end_ms, cut)) for r in self.requests]
            for request, whole, part in zip(
                asked, self.answers, self.source.load(asked), strict=True
            ):
                self._require_same(whole.slice(request.start_ms, request.end_ms), part.trim(), cut)
        return f"{len(cuts)} earlier ends"

    def _cuts(self) -> list[int]:
        """Ends spread over the request, within gaps and after repeated candles among them.

        Each leaves every request a candle; some lie within a candle of the coarser timeframes.
        """
        first = [c.open_time()[c.valid][0] for c in self.answers if c.valid.any()]
        finest = min(self.answers, key=lambda candles: candles.timeframe)
        if not first or not len(finest):
            return []
        opens = finest.open_time()
        there = np.flatnonzero(opens > max(first))
        odd = [int(row) for row in there if _suspicious(finest, int(row))]
        spread = there[np.linspace(0, len(there) - 1, CUTS).astype(int)] if len(there) else []
        step = max(1, len(odd) // CUTS)
        return sorted({int(opens[row]) for row in [*odd[::step][:CUTS], *spread]})

    def _require_same(self, whole: Candles, part: Candles, cut: int) -> None:
        if whole.fingerprint() == part.fingerprint():
            return
        first = min(whole.first_slot, part.first_slot)
        one, other = (_rows(c, first, max(whole.end_slot, part.end_slot)) for c in (whole, part))
        differs = ((one != other) & ~(np.isnan(one) & np.isnan(other))).any(axis=1)
        row = int(np.argmax(differs))
        at = replace(whole, first_slot=first)
        raise defect(
            self.source,
            f"the {whole.symbol} {candle_words(at, row)} depends on what comes after it: it is "
            f"{_words(other[row])} when the request ends at {iso(cut)}, else {_words(one[row])}",
            "the same candle wherever the request ends",
            "hand out closed candles only, leave gaps empty, and fit nothing to the whole history",
        )

    def timeframes(self) -> str:
        """Candles of two timeframes of a symbol stand at the same times and are closed."""
        compared = 0
        for one, other in combinations(self.answers, 2):
            frames = sorted((one.timeframe, other.timeframe))
            if one.symbol != other.symbol or frames[1].duration_ms % frames[0].duration_ms:
                continue
            compared += 1
            coarse, fine = (one, other) if one.timeframe >= other.timeframe else (other, one)
            for finding in compare(coarse, fine, str(fine.timeframe)).findings():
                if finding.kind in ("shifted", "unclosed"):
                    raise defect(
                        self.source,
                        f"{_name(coarse)}: {finding.text}",
                        "the candles that those of the finer timeframe add up to",
                        finding.advice,
                    )
        return f"{counted(compared, 'pair')} compared" if compared else "one a symbol only"


def _suspicious(candles: Candles, row: int) -> bool:
    """Whether the candle before a row is absent, without movement, or that of the row again."""
    before = candles.ohlcv[row - 1]
    if not candles.valid[row - 1]:
        return True
    flat = before[HIGH] == before[LOW]
    return bool(flat or np.array_equal(before[:VOLUME], candles.ohlcv[row, :VOLUME]))


def _rows(candles: Candles, first: int, end: int) -> np.ndarray:
    """Rows of some slots, NaN where the candles do not reach."""
    rows = np.full((end - first, 5), np.nan)
    start = candles.first_slot - first
    rows[start : start + len(candles)] = candles.ohlcv
    return rows


def _name(candles: Candles) -> str:
    return f"{candles.symbol} {candles.timeframe}"


def _words(row: np.ndarray) -> str:
    return "absent" if np.isnan(row).all() else "/".join(f"{value:g}" for value in row)


__all__ = ["check_data_source", "checks_of_data_source"]
