"""What a broker asks, and what it allows: fees, slippage, rounding, leverage."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Broker:
    """The terms of trade.

    Attributes:
        commission: fraction of the value of every fill that takes liquidity.
        maker_commission: of a fill that gives it (take-profits rest in the book); None = the same.
        slippage_bps: lost in every taking fill, booked as a cost beside the fill's price.
        order_latency_ms: from the decision to the earliest fill.
        capital: to begin with, in quote currency.
        used: share of the equity that a weight of 1 puts into the market.
        leverage: largest position value over equity; weights beyond it are cut.
        maintenance_margin: fraction of the position's value below which equity is liquidated.
        tick_size: prices of stops and take-profits are rounded to it, against the trader; 0 = not.
        lot_size: sizes are rounded down to it, in base coin; 0 = not.
        min_notional: smaller orders are not sent, in quote currency.
    """

    commission: float = 0.001
    maker_commission: float | None = None
    slippage_bps: float = 0.0
    order_latency_ms: int = 0
    capital: float = 100_000.0
    used: float = 0.95
    leverage: float = 1.0
    maintenance_margin: float = 0.005
    tick_size: float = 0.0
    lot_size: float = 0.0
    min_notional: float = 0.0
