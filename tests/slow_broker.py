"""A broker in plain Python, to compare the compiled one with: every moment of a bar, one by one."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from mtf.market.timeframe import Timeframe
from mtf.trading.bars import Bars
from mtf.trading.costs import Broker
from mtf.trading.targets import Targets

Fill = tuple[int, str, float, float, float, float]
"""Bar, type, signed size, price, commission, slippage."""


@dataclass
class SlowBroker:
    """An account at a broker."""

    terms: Broker
    cash: float
    held: float = 0.0
    stop: float | None = None
    take: float | None = None
    target: float = 0.0
    shortfall: float = 0.0
    fills: list[Fill] = field(default_factory=list)
    funding: dict[int, float] = field(default_factory=dict)

    def equity(self, price: float) -> float:
        return self.cash + self.held * price

    def trade(self, bar: int, kind: str, size: float, price: float) -> None:
        terms, value = self.terms, abs(size) * price
        maker = terms.maker_commission
        making = kind == "take_profit"
        fee = maker if making and maker is not None else terms.commission
        slip = 0.0 if making else terms.slippage_bps / 10_000
        self.cash = self.cash - size * price - value * fee - value * slip
        self.held = self.held + size
        self.fills.append((bar, kind, size, price, value * fee, value * slip))
        if self.held == 0 and self.cash < 0:
            self.shortfall += -self.cash
            self.cash = 0.0

    def pay(self, bar: int, rate: float, price: float) -> None:
        due = self.held * price * rate
        due = min(due, max(self.equity(price), 0.0)) if self.held else 0.0
        self.cash -= due
        self.funding[bar] = self.funding.get(bar, 0.0) + due

    def forced(self, price: float) -> bool:
        """Whether the margin is gone at a price."""
        return self.equity(price) <= self.terms.maintenance_margin * abs(self.held) * price

    def forced_at(self) -> float | None:
        """The price at which it is: cash + held · p = margin · |held| · p."""
        sign = math.copysign(1.0, self.held)
        price = self.cash / (abs(self.held) * (self.terms.maintenance_margin - sign))
        return price if price > 0 else None

    def at_open(self, bar: int, price: float) -> None:
        """What an open has passed fills there."""
        if self.held == 0:
            return
        long = self.held > 0
        forced = self.forced_at()
        gone = forced is not None and (price <= forced if long else price >= forced)
        stopped = self.stop is not None and (price <= self.stop if long else price >= self.stop)
        won = self.take is not None and (price >= self.take if long else price <= self.take)
        nearer = forced is not None and (
            self.stop is None or (forced > self.stop if long else forced < self.stop)
        )
        if gone or stopped:
            self.trade(bar, "liquidation" if nearer else "stop_loss", -self.held, price)
        elif won:
            self.trade(bar, "take_profit", -self.held, price)

    def inside(self, bar: int, high: float, low: float) -> None:
        """The adverse extreme, then the favourable one."""
        if self.held == 0:
            return
        long = self.held > 0
        worst, best = (low, high) if long else (high, low)
        levels = [(self.stop, "stop_loss"), (self.forced_at(), "liquidation")]
        there = [(price, kind) for price, kind in levels if price is not None]
        hit = [(p, k) for p, k in there if (worst <= p if long else worst >= p)]
        if hit:
            nearest = max if long else min
            price, kind = nearest(hit, key=lambda one: one[0])
            self.trade(bar, kind, -self.held, price)
        elif self.take is not None and (best >= self.take if long else best <= self.take):
            self.trade(bar, "take_profit", -self.held, self.take)

    def lots(self, size: float) -> float:
        lot = self.terms.lot_size
        return math.copysign(math.floor(abs(size) / lot + 1e-9) * lot, size) if lot else size

    def tick(self, price: float) -> float:
        """A long position sells, at no more than it asks; a short one buys, at no less."""
        tick = self.terms.tick_size
        if not tick:
            return price
        count = price / tick
        return (math.floor(count + 1e-9) if self.held > 0 else math.ceil(count - 1e-9)) * tick

    def order(self, bar: int, price: float, weight: float, stop: float, take: float) -> None:
        exposure = max(-self.terms.leverage, min(self.terms.leverage, weight * self.terms.used))
        if exposure == self.target:
            return
        self.target = exposure
        if self.equity(price) <= 0:
            return
        wanted = self.lots(exposure * self.equity(price) / price)
        if self.held and (wanted == 0 or wanted * self.held < 0):
            self.trade(bar, "close", -self.held, price)
            wanted = self.lots(exposure * self.cash / price)
        change = wanted - self.held
        if change == 0 or abs(change) * price < self.terms.min_notional:
            return
        before = abs(self.held)
        kind = "open" if not before else "increase" if abs(wanted) > before else "reduce"
        self.trade(bar, kind, change, price)
        if kind != "reduce":
            sign = 1 if self.held > 0 else -1
            self.stop = None if math.isnan(stop) else self.tick(price * (1 - sign * stop))
            self.take = None if math.isnan(take) else self.tick(price * (1 + sign * take))


def slowly(targets: Targets, bars: Bars, terms: Broker) -> tuple[SlowBroker, list[float]]:
    """Trade targets; the broker and the equity at the close of every bar."""
    broker = SlowBroker(terms, terms.capital)
    mark, equity = math.nan, []
    waiting = [k for k in range(len(targets)) if not math.isnan(targets.weight[k])]
    payments = list(zip(bars.funding_time.tolist(), bars.funding_rate.tolist(), strict=True))
    for bar in range(len(bars)):
        time, end = int(bars.open_time[bar]), int(bars.close_time[bar])
        there = bool(bars.valid[bar])
        opens, high, low, close = bars.ohlc[bar].tolist()
        price = opens if there else mark
        for when, rate in payments:
            if when == time:
                broker.pay(bar, rate, price)
        if there:
            broker.at_open(bar, opens)
            due = [k for k in waiting if targets.times[k] + terms.order_latency_ms <= time]
            waiting = waiting[len(due) :]
            if due:
                k = due[-1]
                stop, take = float(targets.stop_loss[k]), float(targets.take_profit[k])
                broker.order(bar, opens, float(targets.weight[k]), stop, take)
        for when, rate in payments:
            if time < when < end:
                broker.pay(bar, rate, price)
        if there:
            broker.at_open(bar, opens)
            broker.inside(bar, high, low)
            mark = close
        equity.append(broker.equity(mark) if broker.held else broker.cash)
    return broker, equity


def random_bars(rng: np.random.Generator, count: int, width: float, missing: float) -> Bars:
    """A walk with gaps between candles and holes, and a payment here and there."""
    steps = rng.normal(0, width, (count, 4))
    opens = 100 * np.exp(np.cumsum(steps[:, :2].sum(1)) - steps[:, 0])
    close = opens * np.exp(steps[:, 0])
    high = np.maximum(opens, close) * np.exp(np.abs(steps[:, 2]))
    low = np.minimum(opens, close) * np.exp(-np.abs(steps[:, 3]))
    ohlc = np.stack([opens, high, low, close], axis=1)
    valid = rng.random(count) >= missing
    ohlc[~valid] = np.nan
    times = np.arange(count, dtype=np.int64) * 60_000
    paid = np.unique(rng.integers(0, 2 * count + 2, rng.integers(0, 8))) * 30_000
    rates = rng.normal(0, 0.01, len(paid))
    return Bars("ETHUSDT", Timeframe.parse("1m"), times, ohlc, valid, paid, rates)


def random_targets(rng: np.random.Generator, count: int, size: float) -> Targets:
    """Decisions at some closes, weights on a coarse grid so that they repeat, some without."""
    times = np.flatnonzero(rng.random(count + 1) < 0.6).astype(np.int64) * 60_000
    weight = rng.integers(-2, 3, len(times)) / 2 * size
    weight[rng.random(len(times)) < 0.15] = np.nan
    drawn = [rng.uniform(0.001, 0.05, len(times)) for _ in range(2)]
    stop, take = (np.where(rng.random(len(times)) < 0.4, one, np.nan) for one in drawn)
    return Targets(times, weight, rng.random(len(times)), stop, take)


def random_terms(rng: np.random.Generator, leverage: float) -> Broker:
    """Terms of a broker, rounding or not."""
    return Broker(
        commission=float(rng.choice([0.0, 0.001, 0.01])),
        maker_commission=[None, -0.0001, 0.0005][rng.integers(3)],
        slippage_bps=float(rng.choice([0.0, 5.0])),
        order_latency_ms=int(rng.choice([0, 0, 1_000, 60_000, 90_000])),
        capital=1_000.0,
        used=float(rng.choice([0.5, 0.95, 1.0])),
        leverage=leverage,
        maintenance_margin=float(rng.choice([0.0, 0.005, 0.05])),
        tick_size=float(rng.choice([0.0, 0.1, 0.25])),
        lot_size=float(rng.choice([0.0, 0.01, 1.0])),
        min_notional=float(rng.choice([0.0, 20.0])),
    )
