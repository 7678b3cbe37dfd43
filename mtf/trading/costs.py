"""What a broker asks, and what it allows: fees, slippage, rounding, leverage."""

from __future__ import annotations

from dataclasses import dataclass

from mtf.errors import ConfigError


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
        min_notional: smaller orders are not sent, in quote currency; closing is always allowed.

    Raises:
        ConfigError: terms that make no sense.
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

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        for name in ("capital", "used", "leverage"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"found {name} {getattr(self, name)} of the broker", "above 0")
        least = ("slippage_bps", "order_latency_ms", "tick_size", "lot_size", "min_notional")
        for name in ("commission", *least):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"found {name} {getattr(self, name)} of the broker", "at least 0")
        if not 0 <= self.maintenance_margin < 1:
            raise ConfigError(
                f"found maintenance_margin {self.maintenance_margin} of the broker",
                "at least 0 and below 1",
            )
