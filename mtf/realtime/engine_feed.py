"""What an engine is fed: the history in one piece a stream, then candles as they come."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from mtf.market.candles import Candles
from mtf.model.streaming import Streaming
from mtf.realtime.events import Closed, Key


class EngineFeed:
    """Feeds an engine.

    Args:
        engine: to feed.
        names: says which streams a key delivers as they are.
    """

    def __init__(self, engine: Streaming, names: Callable[[Key], Sequence[str]]) -> None:
        """It has not begun: what is taken is kept."""
        self.engine, self._names = engine, names
        self._history: dict[Key, list[Closed]] | None = defaultdict(list)

    def take(self, event: Closed) -> None:
        """Take candles; they come in order, so each block lies behind the last."""
        if self._history is None:
            self._feed(event.key, [event])
        else:
            self._history[event.key].append(event)

    def begin(self) -> None:
        """Feed what was kept, and from now on everything at once."""
        history, self._history = self._history or {}, None
        for key, events in history.items():
            self._feed(key, events)

    def _feed(self, key: Key, events: Sequence[Closed]) -> None:
        """Give candles of one key to its streams."""
        names = self._names(key)
        if not names:
            return
        opens = np.concatenate([one.open_ms for one in events])
        ohlcv = np.concatenate([one.ohlcv for one in events])
        candles = Candles.from_rows(*key, opens, ohlcv, origin=f"{key[0]} {key[1]} of the feed")
        for name in names:
            self.engine.extend(name, candles)


__all__ = ["EngineFeed"]
