"""The contract of a side input, tried out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from itertools import product

import numpy as np
from jaxtyping import Bool, Int64

from mtf.market.candles import Candles
from mtf.market.side_input import Moments, SideContext, SideInput
from mtf.market.times import iso
from mtf.market.world import World
from mtf.testing.contract import Check, require
from mtf.testing.market import (
    CLOCK,
    SYMBOL,
    changed,
    changed_after,
    known_at,
    random_market,
    stream_specs,
    world_of,
    world_with,
)
from mtf.testing.probe import defect

LAST = 4_560
"""Clock step of the last decision, an hour's close: what comes after it is changed."""
LATE_SHARE, LATE_MS = 0.05, 240_000
"""Candles that come late, and by how much at most."""
GAP = 3
"""Slots before the last one, where every stream lacks a candle."""
HIDDEN = (np.nan, np.inf, -1.0)
"""What may stand in an absent slot."""

Factory = Callable[[SideContext], SideInput]
Said = tuple[np.ndarray, np.ndarray]


def check_side_input(factory: Factory) -> None:
    """Try whether a side input keeps its contract.

    Args:
        factory: the class, or anything that builds one from a ``SideContext``.

    Raises:
        ContractError: elements without meaning or of unknown streams; wrong shape; not finite;
            random; looks ahead; moves with a stream that an element does not name; reads what
            stands in absent slots; answers that depend on which decisions are asked together.
    """
    require(checks_of_side_input(factory))


def checks_of_side_input(factory: Factory, *, seed: int = 0) -> tuple[Check, ...]:
    """The promises of a side input, one by one."""
    trial = SideTrial(factory, seed)
    return (
        Check("build", trial.build, vital=True, seed=seed),
        Check("shape", trial.shape, vital=True, seed=seed),
        Check("determinism", trial.determinism, seed=seed),
        Check("each by itself", trial.by_itself, seed=seed),
        Check("known at t", trial.known_at_t, seed=seed),
        Check("sources", trial.named_sources, seed=seed),
        Check("masks", trial.masks, seed=seed),
    )


class SideTrial:
    """A side input, and a small market with gaps and candles that come late.

    Args:
        factory: builds it.
        seed: of the market.
    """

    def __init__(self, factory: Factory, seed: int) -> None:
        self.factory, self.seed = factory, seed
        self.context = SideContext(SYMBOL, stream_specs(), CLOCK, seed)

    @cached_property
    def side(self) -> SideInput:
        """What is tried."""
        return self.factory(self.context)

    @cached_property
    def world(self) -> World:
        """The market as it is."""
        rng = np.random.default_rng(self.seed)
        market = random_market(seed=self.seed, missing=0.01)
        return world_of({name: _troubled(one, rng) for name, one in market.items()})

    @cached_property
    def times(self) -> Int64[np.ndarray, " decision"]:
        """An hour of clock closes around those of the coarser streams, the last one an hour's."""
        return np.arange(LAST - 61, LAST + 1) * CLOCK.duration_ms

    @cached_property
    def before(self) -> Mapping[bool, Said]:
        """The answers in the market as it is: in evaluation, and at training."""
        return {training: self.said(self.world, training) for training in (False, True)}

    def said(
        self, world: World, training: bool, times: np.ndarray | None = None, anew: bool = False
    ) -> Said:
        """What it says at some times, default all; maybe one built anew."""
        times = self.times if times is None else times
        side = self.factory(self.context) if anew else self.side
        values, valid = side.at(Moments(world, times, world.known(times), training))
        return values, valid

    def build(self) -> str:
        """Every element has a meaning, and its streams are those there are."""
        side, streams = self.side, [spec.name for spec in self.context.streams]
        mute = [name for name, meaning in side.elements.items() if not meaning.strip()]
        if mute or not side.elements:
            raise defect(
                side,
                f"no meaning of element {mute[0]!r}" if mute else "no elements",
                "elements: name → what it means",
            )
        unknown = [name for name in side.sources if name not in side.elements]
        unknown += [s for of in side.sources.values() for s in of if s not in streams]
        unknown += [stream for stream in side.history if stream not in streams]
        if unknown:
            raise defect(
                side,
                f"{unknown[0]!r} in its sources or history is no element and no stream here",
                f"elements of its own, and streams among {', '.join(streams)}",
                "take the names of streams from the context",
            )
        return f"{len(side.elements)} elements, time {side.time}"

    def shape(self) -> str:
        """A row a decision, finite where it is there."""
        wanted = (len(self.times), self.side.time, len(self.side.elements))
        for values, valid in self.before.values():
            if values.shape != wanted or valid.shape != wanted:
                raise defect(
                    self.side,
                    f"wrong shape: {values.shape} and {valid.shape}",
                    f"[decision, time, element] = {wanted} of both",
                )
            if not np.isfinite(values[valid]).all():
                element = np.flatnonzero((~np.isfinite(values) & valid).any((0, 1)))[0]
                raise defect(
                    self.side,
                    f"element {list(self.side.elements)[element]!r} is not finite where it is "
                    "said to be there",
                    "finite figures, or valid = False",
                )
        return f"{list(wanted)}, {self.before[False][1].mean():.0%} there"

    def determinism(self) -> str:
        """The same twice, and of one built anew; at training, too."""
        for training, anew in product((False, True), repeat=2):
            found = self.said(self.world, training, anew=anew)
            self._require_same(
                found,
                training,
                "is random: two calls differ",
                "a function of the seed and the decision, at training, too",
            )
        return ""

    def by_itself(self) -> str:
        """A decision's answer is the same whoever is asked with it."""
        for training in (False, True):
            alone = [self.said(self.world, training, self.times[i : i + 1]) for i in (0, 30, -2)]
            for row, (values, valid) in zip((0, 30, -2), alone, strict=False):
                whole = self.before[training][0].copy(), self.before[training][1].copy()
                whole[0][row], whole[1][row] = values[0], valid[0]
                self._require_same(
                    whole,
                    training,
                    "depends on which decisions are asked together",
                    "the same answer to a decision asked by itself",
                )
        return ""

    def known_at_t(self) -> str:
        """What is known only after a time moves nothing at or before it; late candles, too."""
        asked = [
            (int(time), stream.name)
            for stream in self.context.streams
            for time in self._telling(stream.name)
        ]
        for time, stream in asked:
            other = changed_after(self.world, time, [stream], self.seed)
            upto = self.times <= time
            for training in (False, True):
                self._require_same(
                    self.said(other, training),
                    training,
                    f"looks ahead: moves when {stream} candles known only after {iso(time)} change",
                    "at t from what is known at t, late candles not before they came",
                    "read rows up to Known.row or last_slot with available_at <= t only",
                    upto,
                )
        return f"{len(asked)} times, bit for bit"

    def _telling(self, stream: str) -> list[int]:
        """The last times, of all and of those at which a candle of the stream is awaited."""
        late = self.world.known(self.times)[stream].late
        return sorted({*self.times[-3:].tolist(), *self.times[late][-3:].tolist()})

    def named_sources(self) -> str:
        """An element moves with the streams that it names only."""
        for spec in self.context.streams:
            candles = self.world.streams[spec.name].candles
            every = np.ones(len(candles), np.bool_)
            other = world_with(self.world, {spec.name: changed(candles, every, 1, drop=0.2)})
            for training in (False, True):
                found = self.said(other, training)
                for name in self._moved(found, training):
                    self._require_named(name, spec.name)
        return f"{len(self.side.sources)} elements have some"

    def masks(self) -> str:
        """What stands in an absent slot is never read."""
        for hidden in HIDDEN:
            junk = {
                name: replace(
                    stream.candles,
                    ohlcv=np.where(stream.candles.valid[:, None], stream.candles.ohlcv, hidden),
                )
                for name, stream in self.world.streams.items()
            }
            other = world_with(self.world, junk)
            for training in (False, True):
                self._require_same(
                    self.said(other, training),
                    training,
                    f"breaks behind a mask: moves when {hidden} stands in an absent slot",
                    "slots with valid = False are never read",
                )
        return f"{', '.join(str(hidden) for hidden in HIDDEN)} in absent slots"

    def _moved(self, found: Said, training: bool) -> list[str]:
        """The elements that are others than in the market as it is."""
        values, names = self._differ(found, training), list(self.side.elements)
        return [names[index] for index in np.flatnonzero(values.any((0, 1)))]

    def _require_named(self, element: str, stream: str) -> None:
        """Refuse an element that moved with a stream that is not among its sources."""
        named = self.side.sources.get(element, ())
        if stream not in named:
            raise defect(
                self.side,
                f"element {element!r} moves with stream {stream}, which is not among its sources "
                f"({', '.join(named) or 'none'})",
                "every stream that an element is computed from, so that it is masked with it",
                f"name {stream} in sources",
            )

    def _differ(self, found: Said, training: bool) -> Bool[np.ndarray, "decision time element"]:
        """Where values that are there, or their being there, are others than before."""
        values, valid = self.before[training]
        differ: np.ndarray = (found[1] != valid) | (valid & (found[0] != values))
        return differ

    def _require_same(
        self,
        found: Said,
        training: bool,
        what: str,
        expected: str,
        todo: str = "",
        rows: np.ndarray | None = None,
    ) -> None:
        """Refuse an answer that differs from the one before; names the decision and element."""
        differ = self._differ(found, training)
        if rows is not None:
            differ = differ & rows[:, None, None]
        if differ.any():
            row, _, element = (int(i) for i in np.argwhere(differ)[-1])
            where = f"{list(self.side.elements)[element]} at {iso(int(self.times[row]))}"
            raise defect(self.side, f"{what} (such as {where})", expected, todo)


def _troubled(candles: Candles, rng: np.random.Generator) -> Candles:
    """The same with a gap shortly before the last decision, and candles that come late."""
    gap = int(candles.timeframe.last_slot(LAST * CLOCK.duration_ms)) - GAP - candles.first_slot
    candles.valid[gap], candles.ohlcv[gap] = False, np.nan
    late = rng.random(len(candles)) < LATE_SHARE
    delay = np.where(late & candles.valid, rng.integers(1, LATE_MS, len(candles)), 0)
    return replace(candles, available_at=known_at(candles) + delay)


__all__ = ["check_side_input", "checks_of_side_input"]
