"""Symbols: what is traded in a pair, and which stream speaks of it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mtf.market.stream import StreamSpec

_PAIR = re.compile(r"([A-Z0-9]+?)[-/_:]?(USDT|USDC|BUSD|FDUSD|USD|EUR)([-:].*)?")


def base_coin(symbol: str) -> str:
    """What is traded: ``btc`` of BTCUSDT, BTC-USD or BTC/EUR; the symbol itself where unknown."""
    pair = _PAIR.fullmatch(symbol.upper())
    return (pair[1] if pair else symbol).lower()


def reference_stream(specs: Iterable[StreamSpec], coin: str) -> StreamSpec | None:
    """The finest reference stream of a coin such as ``btc``; None = there is none."""
    found = [s for s in specs if s.role == "reference" and base_coin(s.symbol) == coin]
    return min(found, key=lambda spec: spec.timeframe, default=None)


__all__ = ["base_coin", "reference_stream"]
