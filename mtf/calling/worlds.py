"""From arrays of candles to a batch: each decision is a small world, read as any other is.

The candles of a decision end at the last slot of its time, so every rule of the market holds
without being said again: features and scales are scanned from the first candle, warm-up is masked,
a stale stream is absent, a derived stream is built from its source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from mtf.learning.batches import BatchBuilder
from mtf.market.asof import Known
from mtf.market.candles import Candles
from mtf.market.feature_set import FeatureSet
from mtf.market.resample import resample
from mtf.market.stream import StreamSpec, compute_stream
from mtf.market.timeframe import Timeframe
from mtf.market.world import World, label_sigma
from mtf.model.batch import Batch, StreamBatch
from mtf.model.hybrid import HybridModel
from mtf.plugins.units import Units

Arrays = Mapping[str, Float64[np.ndarray, "batch time 5"]]
"""Raw candles by the name of their stream."""


@dataclass(frozen=True)
class Reader:
    """Reads raw candles as the model's batches are read.

    Attributes:
        model: whose inputs are made.
        sets: feature set of every stream.
        symbol: the primary symbol.
        clock: the timeframe at whose closes decisions are made.
    """

    model: HybridModel
    sets: Mapping[str, FeatureSet]
    symbol: str
    clock: Timeframe

    def read(
        self, arrays: Arrays, times: Int64[np.ndarray, " decision"]
    ) -> tuple[dict[str, StreamBatch], Units]:
        """The streams of some decisions as one batch has them, and the units of its outputs.

        Args:
            arrays: those that are there; every one has as many rows as there are decisions.
            times: decision times in ms.
        """
        batches, units = [], []
        for row, time in enumerate(times):
            at = np.array([time], np.int64)
            world = self._world({name: array[row] for name, array in arrays.items()}, int(time))
            batches.append(self._builder(world).build(at[:, None], None))
            units.append(Units(world.label_volatility(at), world.known(at)))
        return _joined_streams(batches), _joined_units(units)

    def _builder(self, world: World) -> BatchBuilder:
        """Makes batches without labels, window by window."""
        names = [spec.name for spec in self.model.streams]
        need = {name: self.model.required_slots(name) for name in names}
        return BatchBuilder(
            world, {}, need, dict.fromkeys(names, False), self.model.forming_streams
        )

    def _world(self, rows: Mapping[str, Float64[np.ndarray, "time 5"]], time: int) -> World:
        """The world of one decision."""
        specs = [self._given_or_derived(spec, rows) for spec in self.model.streams]
        candles: dict[str, Candles] = {}
        for spec in sorted(specs, key=lambda spec: spec.timeframe):  # sources come first
            if spec.derived_from is None:
                candles[spec.name] = _candles(spec, rows.get(spec.name), time)
            else:
                candles[spec.name] = resample(candles[spec.derived_from], spec.timeframe)
        streams = {s.name: compute_stream(s, candles[s.name], self.sets[s.name]) for s in specs}
        clock, latency_ms = self._clock_candles(specs, candles)
        sigma = label_sigma(clock)
        return World(self.symbol, self.clock, streams, clock, sigma, latency_ms)

    def _given_or_derived(self, spec: StreamSpec, rows: Mapping[str, np.ndarray]) -> StreamSpec:
        """A derived stream whose candles are given is delivered, and needs no source."""
        return replace(spec, derived_from=None) if spec.name in rows else spec

    def _clock_candles(
        self, specs: Sequence[StreamSpec], candles: Mapping[str, Candles]
    ) -> tuple[Candles, int]:
        """The primary's candles at the clock, from which the label volatility comes."""
        for spec in specs:
            if (spec.role, spec.timeframe) == ("primary", self.clock) and len(candles[spec.name]):
                return candles[spec.name], spec.latency_ms
        return Candles.empty(self.symbol, self.clock), 0


def _candles(spec: StreamSpec, rows: Float64[np.ndarray, "time 5"] | None, time: int) -> Candles:
    """Candles on the grid, the last one at the last slot of the decision."""
    end = spec.timeframe.last_slot(time, spec.latency_ms) + 1
    if rows is None:
        return Candles.empty(spec.symbol, spec.timeframe, end)
    valid = ~np.isnan(rows[:, 0])
    return Candles(spec.symbol, spec.timeframe, end - len(rows), rows, valid).trim()


def _joined_streams(batches: Sequence[Batch]) -> dict[str, StreamBatch]:
    """The streams of batches of one decision and one block each."""
    names = batches[0].streams
    return {name: _joined([batch.streams[name] for batch in batches]) for name in names}


def _joined(parts: Sequence[StreamBatch]) -> StreamBatch:
    joined: dict[str, Tensor] = {
        field.name: torch.cat([getattr(part, field.name) for part in parts])
        for field in fields(StreamBatch)
        if getattr(parts[0], field.name) is not None
    }
    return StreamBatch(**{**joined, "block": torch.arange(len(parts))})


def _joined_units(units: Sequence[Units]) -> Units:
    known = {
        name: Known(*(
            np.concatenate([getattr(unit.known[name], field.name) for unit in units])
            for field in fields(Known)
        ))
        for name in units[0].known
    }  # fmt: skip
    return Units(np.concatenate([unit.label_volatility for unit in units]), known)


__all__ = ["Arrays", "Reader"]
