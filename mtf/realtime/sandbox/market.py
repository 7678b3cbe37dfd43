"""What is traded, and all candles of it, past and to come: the market behind the stand-in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64

from mtf.market.symbols import base_coin
from mtf.realtime.sandbox.bars import Bars, text
from mtf.realtime.sandbox.interval import Interval, base_of
from mtf.realtime.sandbox.trades import Trades, trades_of

FUNDING_MS = 8 * 3_600_000


@dataclass(frozen=True)
class Instrument:
    """One linear perpetual.

    Attributes:
        symbol: such as ETHUSDT.
        price_decimals: digits of a tick behind the point.
        size_decimals: digits of a lot behind the point.
        launch_ms: when its first candle opens.
    """

    symbol: str
    price_decimals: int
    size_decimals: int
    launch_ms: int

    def as_json(self) -> dict[str, Any]:
        """As ``/v5/market/instruments-info`` tells it."""
        tick, lot = text(1, self.price_decimals), text(1, self.size_decimals)
        return {
            "symbol": self.symbol,
            "contractType": "LinearPerpetual",
            "status": "Trading",
            "baseCoin": base_coin(self.symbol).upper(),
            "quoteCoin": "USDT",
            "settleCoin": "USDT",
            "launchTime": str(self.launch_ms),
            "deliveryTime": "0",
            "deliveryFeeRate": "",
            "priceScale": str(self.price_decimals),
            "leverageFilter": {"minLeverage": "1", "maxLeverage": "100", "leverageStep": "0.01"},
            "priceFilter": {"minPrice": tick, "maxPrice": "1999999.8", "tickSize": tick},
            "lotSizeFilter": {
                "minOrderQty": lot,
                "qtyStep": lot,
                "maxOrderQty": "10000",
                "maxMktOrderQty": "1000",
                "postOnlyMaxOrderQty": "10000",
                "minNotionalValue": "5",
            },
            "unifiedMarginTrade": True,
            "fundingInterval": FUNDING_MS // 60_000,
            "upperFundingRate": "0.005",
            "lowerFundingRate": "-0.005",
        }


class Market(ABC):
    """Every candle of every instrument; what of it is known by now is the exchange's affair.

    Attributes:
        instruments: by symbol.
        start_ms: where a clock may start: minutes are there from here on.
        seed: of all that is made up.
    """

    instruments: Mapping[str, Instrument]
    start_ms: int
    seed: int = 0

    @abstractmethod
    def base(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Bars:
        """The candles of one minute, hour or day with ``start_ms <= open_time < end_ms``."""

    def trades(self, symbol: str, open_ms: int, values: Int64[np.ndarray, " 6"]) -> Trades:
        """The trades of the minute that opens then: made up so that they add up to its candle.

        Args:
            symbol: of which.
            open_ms: when the minute opens.
            values: of its candle, as in ``Bars``; without volume there are none.
        """
        return trades_of(open_ms, values, symbol, self.seed)

    def bars(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Bars:
        """Candles with ``start_ms <= open_time < end_ms``, added up from minutes, hours or days."""
        base = base_of(interval)
        if end_ms <= start_ms:
            return Bars.empty()
        if base == interval:
            return self.base(symbol, base, start_ms, end_ms)
        first = interval.open_of(start_ms)
        end = interval.close_of(interval.open_of(end_ms - 1))
        whole = self.base(symbol, base, first, end).aggregate(interval)
        return whole.between(start_ms, end_ms)
