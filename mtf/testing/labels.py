"""The labels of a head, tried out: what they may look at, and what they must.

A label is unmoved by candles that close after t + reach, moved by the last one inside, and the same
whether it is asked for alone or among others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from mtf.errors import LookaheadError
from mtf.market.labels import Future, Label
from mtf.market.times import iso
from mtf.market.world import World
from mtf.plugins.contracts import Head
from mtf.testing.market import CLOCK, changed, changed_after, known_at, random_world, world_with
from mtf.testing.probe import defect

FIRST, LAST, STEP = 4305, 4595, 7
"""Decisions, in clock steps: after the warm-up of the streams, before the market's end."""
SLOTS = 180 * 60
"""Clock candles of the market: labels may look four days ahead."""
TRIED = 16
"""Decisions at which the end of the reach is looked for."""
BOUNDARIES = (4319, 4320, 4321, 4379, 4380, 4381)
"""Around the closes of two hours."""


def decision_times() -> np.ndarray:
    """Every seventh minute, and the minutes around full hours."""
    steps = sorted({*range(FIRST, LAST, STEP), *BOUNDARIES})
    return np.array(steps, np.int64) * CLOCK.duration_ms


class LabelTrial:
    """The labels of a head on a random market.

    Args:
        make: returns the head.
        seed: of the market.
    """

    def __init__(self, make: Callable[[], Head], seed: int) -> None:
        self.make, self.seed = make, seed
        self.times = decision_times()

    @cached_property
    def head(self) -> Head:
        """The head."""
        return self.make()

    @cached_property
    def world(self) -> World:
        """Without gaps, so that every label that can be there is."""
        return random_world(SLOTS, self.seed)

    @cached_property
    def labels(self) -> dict[str, Label]:
        """By target."""
        return {target: self.label(target, self.world) for target in self.head.targets}

    def label(self, target: str, world: World, times: np.ndarray | None = None) -> Label:
        """The label at some times, by default all.

        Raises:
            ContractError: no reach that makes sense, or it reads beyond.
        """
        times = self.times if times is None else times
        reach = self.head.reach(target, times)
        if reach.shape != times.shape or (reach < 0).any():
            raise defect(
                self.head,
                f"reach of {target!r} is {reach!r}",
                "one number a decision, in ms, at least 0",
            )
        try:
            return self.head.label(target, Future(world, times, reach))
        except LookaheadError as error:
            raise defect(
                self.head,
                f"label {target!r} reaches beyond its reach: {error.found}",
                error.expected,
                error.todo,
            ) from None

    def shape(self) -> str:
        """One row a decision, and finite where present."""
        for target, label in self.labels.items():
            columns = {**label.values, "present": label.present, "group": label.group}
            wrong = [name for name, column in columns.items() if len(column) != len(self.times)]
            if wrong or label.present.dtype != np.bool_ or not label.present.any():
                raise defect(
                    self.head,
                    f"label {target!r}: {wrong or 'present'} does not fit {len(self.times)} "
                    "decisions",
                    "one row a decision in every value, present (bool) and group, some present",
                )
            for name, value in label.values.items():
                if not np.isfinite(value[label.present]).all():
                    raise defect(
                        self.head, f"label {target!r}: {name} is not finite", "finite, or absent"
                    )
        return f"{', '.join(self.labels)} at {len(self.times)} times"

    def alone(self) -> str:
        """Other decisions lie in the future of some: they must not matter."""
        for target, label in self.labels.items():
            for i in self._chosen():
                one = self.label(target, self.world, self.times[i : i + 1])
                if not same(one, label.select(np.array([i]))):
                    raise defect(
                        self.head,
                        f"label {target!r} at {iso(int(self.times[i]))} depends on the other times "
                        "asked for: what is in them lies in the future of some decisions",
                        "a label from what is known at t and from Future alone",
                        "no mean, deviation or rank over decisions in a label",
                    )
        return ""

    def beyond(self) -> str:
        """What closes after t + reach moves nothing, the first candle alone and all together."""
        for target in self.head.targets:
            for i in self._chosen():
                one = self.times[i : i + 1]
                reach = int(self.head.reach(target, one)[0])
                alone = self.label(target, self.world, one)
                for world in self._after(int(one[0]) + reach):
                    if not same(self.label(target, world, one), alone):
                        raise self._beyond_error(target, int(one[0]), reach)
        return f"{len(self._chosen())} times a target"

    def _after(self, end: int) -> list[World]:
        """Other candles after a time: all, or of each stream only the first."""
        first = {}
        for name, stream in self.world.streams.items():
            close = known_at(stream.candles)
            step = stream.candles.timeframe.duration_ms
            first[name] = changed(stream.candles, (close > end) & (close <= end + step))
        return [changed_after(self.world, end), world_with(self.world, first)]

    def _beyond_error(self, target: str, time_ms: int, reach: int) -> Exception:
        return defect(
            self.head,
            f"label {target!r} reaches beyond its reach: at {iso(time_ms)} it moves when candles "
            f"that close after {iso(time_ms + reach)} (t + {reach} ms) change",
            "what closes after t + reach(t) has no influence",
            "declare the longer reach, and read the future only from Future",
        )

    def last_inside(self) -> str:
        """The last candle within reach moves the label: it is read to its end.

        Where the reach is a cap, a label is mostly settled before, and at no two times alike.
        """
        capped = []
        for target, label in self.labels.items():
            reach = self.head.reach(target, self.times)
            there = [int(i) for i in np.flatnonzero(label.present & (reach > 0))]
            there = there[:: len(there) // TRIED + 1]
            if not there or any(self._moves(target, i, int(reach[i]), 1) for i in there):
                continue
            unread = self._unread(target, there[0], int(reach[there[0]]))
            if all(self._unread(target, i, int(reach[i])) == unread for i in there[1:]):
                raise self._short_error(target, there[0], int(reach[there[0]]), unread)
            capped.append(target)
        return f"{', '.join(capped)}: a cap that is seldom reached" if capped else ""

    def _short_error(self, target: str, i: int, reach: int, unread: int) -> Exception:
        end = int(self.times[i]) + reach
        return defect(
            self.head,
            f"label {target!r} declares more than it reads: at {iso(int(self.times[i]))} its reach "
            f"ends at {iso(end)}, but candles that close after "
            f"{iso(end - unread * CLOCK.duration_ms)} do not move it, nor at any other time",
            "moved by the last candle within t + reach(t)",
            "declare the shorter reach, or read the horizon to its end: one candle late is as "
            "wrong as one early, and a reach too long loses labels where a part ends",
        )

    def _unread(self, target: str, i: int, reach: int) -> int:
        """How many clock steps before the end of its reach a label no longer moves."""
        low, high = 1, -(-reach // CLOCK.duration_ms)
        while high - low > 1:
            middle = (low + high) // 2
            if self._moves(target, i, reach, middle):
                high = middle
            else:
                low = middle
        return low

    def _moves(self, target: str, i: int, reach: int, steps: int) -> bool:
        """Whether a label moves with candles that close in the last clock steps of its reach."""
        end = int(self.times[i]) + reach
        inside = {}
        for name, stream in self.world.streams.items():
            close = known_at(stream.candles)
            start = max(end - steps * CLOCK.duration_ms, int(self.times[i]))
            inside[name] = changed(stream.candles, (close <= end) & (close > start), self.seed)
        one = self.times[i : i + 1]
        moved = self.label(target, world_with(self.world, inside), one)
        return not same(moved, self.labels[target].select(np.array([i])))

    def _chosen(self) -> list[int]:
        """A few of the decisions, the boundaries among them."""
        wanted = np.array(BOUNDARIES) * CLOCK.duration_ms
        around = np.flatnonzero(np.isin(self.times, wanted))
        return sorted({*around.tolist(), *range(0, len(self.times), len(self.times) // 4)})


def same(left: Label, right: Label) -> bool:
    """Whether two labels are equal bit for bit."""
    values = all(np.array_equal(left.values[name], right.values[name]) for name in left.values)
    return values and np.array_equal(left.present, right.present)


__all__ = ["LabelTrial", "decision_times", "same"]
