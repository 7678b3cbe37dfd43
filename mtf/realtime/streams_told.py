"""What a session was told of each of its streams: state, last close, how many candles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mtf.market.asof import Known
from mtf.market.flow import Flow
from mtf.market.stream import StreamSpec
from mtf.realtime.events import Closed, Key, StreamState
from mtf.realtime.live_trades import SECOND
from mtf.realtime.view import StreamLook


@dataclass
class Told:
    """What was told of one key.

    Attributes:
        state: as told last.
        closed_ms: end of the last candle; None = none yet.
        candles: since the session began.
    """

    state: StreamState
    closed_ms: int | None = None
    candles: int = 0


class StreamsTold:
    """The streams of a model by what delivers them.

    Args:
        specs: the streams, in the order of the config.
    """

    def __init__(self, specs: Sequence[StreamSpec]) -> None:
        """Nothing was told yet."""
        self.specs = specs
        self._by_name = {spec.name: spec for spec in specs}
        self._told: dict[Key, Told] = {}

    def names(self, key: Key) -> list[str]:
        """The streams that a key delivers as they are."""
        return [
            spec.name
            for spec in self.specs
            if spec.derived_from is None and (spec.symbol, spec.timeframe) == key
        ]

    def of(self, key: Key) -> Told:
        """What was told of a key."""
        if key not in self._told:
            self._told[key] = Told(StreamState(*key, "starting", 0, "nothing was told yet"))
        return self._told[key]

    def state(self, event: StreamState) -> None:
        """Take a state."""
        self.of((event.symbol, event.timeframe)).state = event

    def close(self, event: Closed, *, history: bool) -> None:
        """Take candles; those of the history are not counted."""
        told = self.of(event.key)
        told.closed_ms = int(event.open_ms[-1]) + event.timeframe.duration_ms
        told.candles += 0 if history else len(event.open_ms)

    def frozen(self) -> list[str]:
        """The delivered streams in which nothing trades."""
        keys = [key for key, told in self._told.items() if told.state.state == "frozen"]
        return [name for key in keys for name in self.names(key)]

    def usable(self, flows: Mapping[str, Flow], known: Mapping[str, Known]) -> dict[str, int]:
        """Usable slots in the lookback of each stream that is told from the session's start only.

        Seconds are built of trades, and hardly any of before, or of an outage, can be asked for.
        All other candles are asked for from before the lookback on: where there are fewer, the
        exchange has no more, and research had none either.

        Args:
            flows: of the engine, by stream.
            known: of each at one decision.
        """
        counts = {}
        for spec in self.specs:
            if self._root(spec).timeframe == SECOND:
                end = int(known[spec.name].last_slot[0]) + 1
                counts[spec.name] = int(flows[spec.name].window_of(end, spec.lookback)[1].sum())
        return counts

    def looks(self, known: Mapping[str, str]) -> tuple[StreamLook, ...]:
        """Every stream as it is shown.

        Args:
            known: of each, what was known at the last decision; empty = there was none.
        """
        return tuple(self._look(spec, known.get(spec.name, "")) for spec in self.specs)

    def _look(self, spec: StreamSpec, known: str) -> StreamLook:
        """A stream, with the state of what delivers it."""
        root = self._root(spec)
        told = self.of((root.symbol, root.timeframe))
        of = f"{spec.symbol} {spec.timeframe}"
        if root is not spec:
            of = f"{spec.timeframe} of {root.name}"
        state = told.state
        return StreamLook(
            name=spec.name,
            of=of,
            state=state.state,
            since_ms=state.since_ms or None,  # 0: of before anything was told
            why="" if state.state == "live" else state.why,
            closed_ms=told.closed_ms,
            candles=told.candles,
            known=known,
        )

    def _root(self, spec: StreamSpec) -> StreamSpec:
        """The delivered stream that a stream is built from, directly or not."""
        while spec.derived_from is not None:
            spec = self._by_name[spec.derived_from]
        return spec


__all__ = ["StreamsTold", "Told"]
