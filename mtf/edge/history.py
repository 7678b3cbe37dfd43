"""The candles of one stream, and what is known of them at a time.

At ``t`` a stream shows exactly the slots with ``available_at <= t``, up to the last one of the
timetable. What was not there is absent; when it arrives late, the scan goes back to where the
candle belongs and on from there, as if it had come in order. Nothing is ever filled.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from mtf.edge.candle import Candle
from mtf.edge.errors import RunnerError
from mtf.edge.features import Features, Scale
from mtf.edge.frame import Frame

SAVE_EVERY = 64
"""Slots between saved scans: a late candle costs a rescan from the nearest one before it."""


@dataclass(frozen=True)
class Spec:
    """What is asked of one stream.

    Attributes:
        lookback: slots that a decision sees, ending at the last one.
        required: the same with those before it that the encoder reads.
        latency_ms: from a candle's close until it may be known.
        max_age: above this age of its last candle, in durations, the stream is masked.
        source: name of the stream whose candles it is built from; None = it is delivered.
        keep: slots whose candles stay in memory: the reach of late ones.
    """

    name: str
    symbol: str
    frame: Frame
    lookback: int
    required: int
    latency_ms: int
    max_age: float
    source: str | None
    keep: int


@dataclass(frozen=True)
class Known:
    """What is known of a stream at a decision.

    Attributes:
        last_slot: by the timetable, whether its candle is there or not.
        age_ms: from the close of the last candle; None = none yet.
        present: there is a usable candle in the lookback, and the last one is not too old.
        scale: sigma, mean volume and last close.
    """

    last_slot: int
    age_ms: int | None
    present: bool
    scale: Scale


@runtime_checkable
class Follower(Protocol):
    """Who keeps something of the slots that a history has scanned."""

    def go_back(self, slot: int) -> None:
        """What was scanned of a slot and of those behind it holds no more."""
        ...


@dataclass(frozen=True)
class _Saved:
    """The scan before a slot."""

    features: Features
    last_there: int | None


class History:
    """One stream as it comes in.

    Args:
        spec: of the stream.
        features: its scan, before the first candle.

    Attributes:
        end: the next slot to scan.
        followers: what is told to go back with the scan.
        rescans: how often it went back for a candle that came late.
        too_late: candles that came, or were to be known, too late to be taken.
    """

    def __init__(self, spec: Spec, features: Features) -> None:
        """No candle yet."""
        self.spec, self._fresh = spec, features
        self.features = features.copy()
        self.candles: dict[int, Candle] = {}
        self.end = 0
        self.followers: list[Follower] = []
        self.last_there: int | None = None
        self.rescans = self.too_late = 0
        self._values = np.zeros((spec.keep, features.channels), np.float32)
        self._usable = np.zeros(spec.keep, np.bool_)
        self._saved: dict[int, _Saved] = {}
        self._slots: list[int] = []
        self._awaited: list[int] = []
        self._first: int | None = None
        self._oldest = -math.inf

    def add(self, slot: int, candle: Candle) -> bool:
        """Take a candle, in any order; whether it is a new one.

        One that belongs before everything that is kept is counted in ``too_late`` and left out.

        Raises:
            RunnerError: the slot has another candle already.
        """
        there = self.candles.get(slot)
        if there is not None:
            if there[:5] == candle[:5]:
                return False
            raise RunnerError(
                f"stream {self.spec.name}: two candles of {self.spec.frame.open_time(slot)} ms: "
                f"{tuple(there[:5])} and {tuple(candle[:5])}",
                "one closed candle a slot",
                "deliver a candle once it is closed, and only then",
            )
        if slot < self._oldest:
            self.too_late += 1
            return False
        self.candles[slot] = candle
        heapq.heappush(self._slots, slot)
        if self._first is None:
            self._first = slot
            self._end_at(slot)
        elif slot < self.end:
            self._awaited.append(slot)
        return True

    def advance(self, t: int) -> None:
        """Scan on to the last slot of ``t``, from where something new belongs."""
        last = self.spec.frame.last_slot(t, self.spec.latency_ms)
        arrived = [slot for slot in self._awaited if self.candles[slot].available_at <= t]
        if arrived:
            self._go_back(min(arrived))
            self.rescans += 1
        for slot in range(self.end, last + 1) if self._first is not None else ():
            self._scan(slot, t)
        self.end = max(self.end, last + 1)
        self._drop(last - self.spec.keep)

    def known(self, t: int) -> Known:
        """What is known at the time of the last ``advance``."""
        spec = self.spec
        last = spec.frame.last_slot(t, spec.latency_ms)
        usable = bool(self.usable(last, spec.lookback).any())
        age = None if self.last_there is None else t - spec.frame.close_time(self.last_there)
        fresh = age is not None and age <= spec.max_age * spec.frame.duration_ms
        return Known(last, age, usable and fresh, self.features.scale)

    def window(self, last: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Features ``[length, channel]`` of the slots up to ``last``, and which are usable."""
        rows = self._rows(last, length)
        return self._values[rows], self._usable[rows]

    def usable(self, last: int, length: int) -> np.ndarray:
        """Which of the slots up to ``last`` are usable."""
        usable: np.ndarray = self._usable[self._rows(last, length)]
        return usable

    def _rows(self, last: int, length: int) -> np.ndarray:
        return np.arange(last - length + 1, last + 1) % self.spec.keep

    def _scan(self, slot: int, t: int) -> None:
        """Take one slot as known at ``t``."""
        if slot % SAVE_EVERY == 0:
            self._saved[slot] = _Saved(self.features.copy(), self.last_there)
        row, found = slot % self.spec.keep, None
        candle = self.candles.get(slot)
        if candle is None:
            self.features.skip()
        elif candle.available_at > t:
            self._awaited.append(slot)
            self.features.skip()
        else:
            found = self.features.step(candle)
            self.last_there = slot
        self._usable[row] = found is not None
        self._values[row] = 0.0 if found is None else found

    def _go_back(self, slot: int) -> None:
        """Be again where the scan was before a slot, or before the first candle."""
        before = [saved for saved in self._saved if saved <= slot]
        saved = self._saved[max(before)] if before else _Saved(self._fresh, None)
        self.features, self.last_there = saved.features.copy(), saved.last_there
        self._end_at(max(before) if before else min(self.candles))
        self._saved = {at: saved for at, saved in self._saved.items() if at <= self.end}
        self._awaited = [one for one in self._awaited if one < self.end]

    def _end_at(self, slot: int) -> None:
        """Scan a slot next, and tell who reads what was scanned."""
        self.end = slot
        for follower in self.followers:
            follower.go_back(slot)

    def _drop(self, before: int) -> None:
        """Forget candles before the newest scan saved so long ago: no late one goes back there.

        Those of them that are not known yet will be too late.
        """
        old = [at for at in self._saved if at <= before]
        if not old:
            return
        self._oldest = max(old)
        self._saved = {at: saved for at, saved in self._saved.items() if at >= self._oldest}
        while self._slots and self._slots[0] < self._oldest:
            del self.candles[heapq.heappop(self._slots)]
        awaited = [slot for slot in self._awaited if slot >= self._oldest]
        self.too_late += len(self._awaited) - len(awaited)
        self._awaited = awaited


__all__ = ["History", "Known", "Spec"]
