"""All streams of a model as candles come in: delivered, derived, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mtf.edge.buckets import Buckets
from mtf.edge.candle import Given, read_candle
from mtf.edge.errors import RunnerError
from mtf.edge.features import features_of
from mtf.edge.forming import NOTHING, Forming, channels
from mtf.edge.frame import Frame
from mtf.edge.history import SAVE_EVERY, History, Known, Spec

WARM = 2
"""Warm-ups before what a decision sees within which a late candle is still taken."""


class Streams:
    """The streams in the order of the model.

    Args:
        about: the content of model.json.
        symbol: the primary symbol.
    """

    def __init__(self, about: Mapping[str, Any], symbol: str) -> None:
        """No candle yet."""
        told: Sequence[Mapping[str, Any]] = about["streams"]
        self.histories: dict[str, History] = {}
        for one in told:
            features = features_of(one["features"]["name"], one["features"]["settings"])
            self.histories[one["name"]] = History(_spec(one, told, symbol), features)
        self._specs = {name: history.spec for name, history in self.histories.items()}
        self._buckets = {
            name: self._bucket(name) for name, spec in self._specs.items() if spec.source
        }
        self._forming = {
            one["name"]: [
                (fine, Forming(self._specs[one["name"]].frame, self.histories[fine]))
                for fine in one["forming"]
            ]
            for one in told
            if one["forming"]
        }

    @property
    def delivered(self) -> list[str]:
        """Names of the streams whose candles are delivered."""
        return [name for name, spec in self._specs.items() if spec.source is None]

    def update(self, stream: str, given: Given, available_at: int | None) -> None:
        """Take one candle of a delivered stream, and build what is derived from it.

        Raises:
            RunnerError: no such stream, or no such candle.
        """
        spec = self._specs.get(stream)
        if spec is None or spec.source is not None:
            why = "" if spec is None else f", which is built from {spec.source}"
            raise RunnerError(f"found a candle of stream {stream!r}{why}", self._expected())
        slot, candle = read_candle(stream, spec.frame, spec.latency_ms, given, available_at)
        if not self.histories[stream].add(slot, candle):
            return
        for name, buckets in self._buckets.items():
            if self._root(name) == stream and (found := buckets.add(slot, candle)):
                self.histories[name].add(*found)

    def advance(self, t: int) -> dict[str, Known]:
        """Scan on to ``t``; what is then known. A derived stream is absent where its source is."""
        for history in self.histories.values():
            history.advance(t)
        known = {name: history.known(t) for name, history in self.histories.items()}
        for name, spec in self._specs.items():
            if spec.source is not None:
                present = known[name].present and known[spec.source].present
                known[name] = replace(known[name], present=present)
        return known

    def forming(self, t: int, known: Mapping[str, Known]) -> tuple[np.ndarray, np.ndarray]:
        """The forming candles ``[stream, 6]``, as the finest present stream sees them."""
        found = [self._seen(t, name, known) for name in self._forming]
        values = np.array([NOTHING if one is None else one for one in found], np.float32)
        return values.reshape(-1, len(NOTHING)), np.array([one is not None for one in found])

    def _seen(self, t: int, name: str, known: Mapping[str, Known]) -> list[float] | None:
        for fine, forming in self._forming[name]:
            if known[fine].present:
                seen = forming.at(t, known[fine])
                return None if seen is None else channels(*seen, known[name].scale)
        return None

    def _bucket(self, name: str) -> Buckets:
        spec, root = self._specs[name], self._specs[self._root(name)]
        return Buckets(root.frame, spec.frame, spec.latency_ms, spec.keep)

    def _root(self, name: str) -> str:
        """The delivered stream that a stream is built from, directly or not."""
        while (source := self._specs[name].source) is not None:
            name = source
        return name

    def _expected(self) -> str:
        return f"candles of {', '.join(self.delivered)}"


def _spec(one: Mapping[str, Any], told: Sequence[Mapping[str, Any]], symbol: str) -> Spec:
    """What model.json says of a stream; how much of it is kept follows."""
    frame = Frame(one["timeframe"], one["duration_ms"], one["anchor_ms"])
    longest = max(
        (coarse["duration_ms"] for coarse in told if one["name"] in coarse["forming"]), default=0
    )
    keep = one["required"] + WARM * one["warmup"] + SAVE_EVERY
    return Spec(
        name=one["name"],
        symbol=symbol if one["role"] == "primary" else one["symbol"],
        frame=frame,
        lookback=one["lookback"],
        required=one["required"],
        latency_ms=one["latency_ms"],
        max_age=one["max_age"],
        source=one["from"],
        keep=max(keep, longest // frame.duration_ms + SAVE_EVERY),
    )


__all__ = ["Streams"]
