"""Side inputs of a session that are made of streams: found anew at every decision.

A small world is built from the newest candles and asked as a batch would ask it. How far back it
must reach is known: what a side input or a decision looks at, and before it what makes features
warm, or forty half-lives of sigma, of which 2^-40 is left then. So a decision costs the same
however long a session lasts: some milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float32

from mtf.config.schema import Config
from mtf.learning.batches import BatchBuilder
from mtf.learning.load import feature_sets, history_starts, worlds_of
from mtf.market.candles import Candles
from mtf.market.side_input import Moments
from mtf.realtime.batch_answers import side_inputs
from mtf.realtime.events import Closed, Key
from mtf.realtime.session_candles import candles_of, on_time

HALF_LIVES = 40
"""Of which 2^-40 is left."""


class LiveSides:
    """What side inputs say at each decision of a session.

    Those that read files are not among them: for the engine they are missing.

    Args:
        config: of the run.
        symbol: the primary one; None = the run's first.
    """

    def __init__(self, config: Config, symbol: str | None = None) -> None:
        """Nothing was told yet."""
        self.config, self.symbol = config, symbol or config.symbol
        self.sides, self.sets = side_inputs(config, symbol), feature_sets(config)
        self._slots = self._reach()
        self._told: dict[Key, list[Closed]] = {key: [] for key in self._starts(0)}
        every = history_starts(config, self.symbol, self.sets, dict.fromkeys(self.sets, 0), 0)
        self._unread = {key: Candles.empty(*key) for key in every if key not in self._told}

    def take(self, event: Closed) -> None:
        """Take what was told, history too; what nothing reads is not kept."""
        if event.key in self._told and len(event.open_ms):
            self._told[event.key].append(event)

    def at(
        self, time_ms: int
    ) -> dict[str, tuple[Float32[np.ndarray, "time element"], Bool[np.ndarray, "time element"]]]:
        """Values, and which are there, by side input: as ``Streaming.decide`` takes them.

        Args:
            time_ms: ``t`` of the decision; all that it may see has been told. Never goes back.
        """
        if not self.sides:
            return {}
        for key, start_ms in self._starts(time_ms).items():
            self._told[key] = [one for one in self._told[key] if one.open_ms[-1] >= start_ms]
        read = on_time(
            candles_of((one for some in self._told.values() for one in some), self._told)
        )
        candles = {**read, **self._unread}
        world = worlds_of(self.config, self.sets, candles, [self.symbol])[self.symbol]
        times = np.array([time_ms], np.int64)
        known = world.known(times)
        present = {name: one.present for name, one in known.items()}
        builder = BatchBuilder(world, {}, {}, {}, sides=self.sides)
        found = builder.side_batches(Moments(world, times, known), present, {})
        return {name: (one.values[0].numpy(), one.valid[0].numpy()) for name, one in found.items()}

    def _reach(self) -> Mapping[str, int]:
        """Slots of every stream that a side input reads, up to the last one."""
        slots: dict[str, int] = {}
        for side in self.sides.values():
            for name in {*side.history, *(name for some in side.sources.values() for name in some)}:
                features, lookback = self.sets[name], self.config.streams[name].lookback
                warm = max(HALF_LIVES * int(features.volatility_half_life), features.warmup)
                seen = max(side.history.get(name, 0), lookback)
                slots[name] = max(slots.get(name, 0), seen + warm)
        return slots

    def _starts(self, time_ms: int) -> dict[Key, int]:
        """From when on candles of what is read are needed."""
        specs = {spec.name: spec for spec in self.config.stream_specs(self.symbol)}
        starts: dict[Key, int] = {}
        for name, slots in self._slots.items():
            frame, root = specs[name].timeframe, specs[name]
            while root.derived_from is not None:
                root = specs[root.derived_from]
            start_ms = int(frame.open_time(frame.slot(time_ms - specs[name].latency_ms) - slots))
            key = root.symbol, root.timeframe
            starts[key] = min(start_ms, starts.get(key, start_ms))
        return starts


__all__ = ["LiveSides"]
