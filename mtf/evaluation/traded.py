"""Predictions traded as the config says: outcomes beside baselines, and what is left after costs.

One symbol is one account. The baselines of money are filled by the same engine at the same terms:
buy and hold, the sign of the past move, the same trades at random times, and what the baselines of
classes said, read by the same policy. Knows nothing of run folders or of the trial ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from mtf.config.build import build
from mtf.config.schema import BacktestSpec, Config
from mtf.errors import ConfigError, DataError
from mtf.evaluation.predict import baseline_head
from mtf.market.stream import StreamSpec
from mtf.market.timeframe import Timeframe
from mtf.plugins.contracts import DataSource, Request
from mtf.predictions import Predictions
from mtf.trading import baselines
from mtf.trading.after_costs import AtCost, AtCoverage, by_cost_and_delay, by_coverage
from mtf.trading.bars import Bars
from mtf.trading.contracts import Backtest, Policy
from mtf.trading.costs import Broker
from mtf.trading.funding import read_funding, with_funding
from mtf.trading.metrics import Figure, trading_metrics
from mtf.trading.outcome import Outcome
from mtf.trading.targets import Targets

STRATEGY, HOLD, MOMENTUM, RANDOM = "strategy", "buy_and_hold", "momentum_rule", "random_entries"
NOT_TRADED = ("class_prior",)
"""Baselines of classes that say the same at all times."""
RANDOM_DRAWS = 99
LOOKBACK = 15
"""Clock steps of the momentum rule where the config has no horizon."""


@dataclass(frozen=True)
class Traded:
    """One symbol traded on one stretch.

    Attributes:
        bars: that were traded on.
        outcomes: by strategy, the model's first.
        metrics: of each, with intervals.
        against: the model against each baseline of which there is one.
        against_random: the model against its own trades at random times.
        grid: what is left at other costs and delays.
        coverage: what is left of confident decisions alone.
    """

    bars: Bars
    outcomes: Mapping[str, Outcome]
    metrics: Mapping[str, Mapping[str, Figure]]
    against: Mapping[str, baselines.Paired]
    against_random: baselines.AgainstRandom
    grid: Sequence[AtCost]
    coverage: Sequence[AtCoverage]

    @property
    def outcome(self) -> Outcome:
        """The model's."""
        return self.outcomes[STRATEGY]


@dataclass(frozen=True)
class _Desk:
    """Who trades, and at which terms."""

    policy: Policy
    engine: Backtest
    broker: Broker
    bars: Bars

    def fill(self, targets: Targets) -> Outcome:
        return self.engine.run(targets, self.bars, self.broker)


def trade(
    config: Config,
    said: Predictions,
    bars: Bars,
    before: Predictions | None = None,
) -> Traded:
    """Trade what was said of one symbol, and baselines on the same bars.

    Args:
        config: with a ``backtest``.
        said: of the symbol.
        bars: of the same symbol, cut to what is to be measured.
        before: what was said of an earlier part, which tells how sure is sure.

    Raises:
        ConfigError: the config has no backtest.
        DataError: the policy misses something in the predictions.
    """
    desk = _desk(config, bars)
    targets = desk.policy.targets(said)
    outcomes = {STRATEGY: desk.fill(targets)}
    rivals = _rivals(config, targets, bars) | _forecasters(config, said)
    for name, other in rivals.items():
        outcomes[name] = desk.fill(other)
    resamples, seed = config.evaluation.bootstrap, config.seed
    own = outcomes[STRATEGY]
    draws = [desk.fill(one) for one in baselines.random_draws(targets, RANDOM_DRAWS, seed)]
    return Traded(
        bars,
        outcomes,
        {name: trading_metrics(one, resamples, seed) for name, one in outcomes.items()},
        {
            name: baselines.paired(own, one, resamples, seed)
            for name, one in outcomes.items()
            if name != STRATEGY
        },
        baselines.against_random(own, draws),
        _grid(desk, targets, config.decisions.clock),
        _coverage(desk, targets, before),
    )


def _rivals(config: Config, targets: Targets, bars: Bars) -> dict[str, Targets]:
    """The targets of the baselines."""
    return {
        HOLD: baselines.buy_and_hold(targets.times),
        MOMENTUM: baselines.momentum_rule(targets.times, bars, _horizon(config)),
        RANDOM: baselines.random_entries(targets, config.seed),
    }


def _forecasters(config: Config, said: Predictions) -> dict[str, Targets]:
    """The targets of the same policy where it reads a baseline in the place of the model's head."""
    spec = backtest_of(config).policy
    head = spec.options.get("head", "") or "action"
    found = {}
    for column in said.arrays:
        if not column.endswith(f".{head}.prob_buy") or not column.startswith("baseline."):
            continue
        name = column.removesuffix(f".{head}.prob_buy").removeprefix("baseline.")
        if name not in NOT_TRADED and "head" in spec.options:
            of = baseline_head(name, head)
            options = {**spec.options, "head": of, "confidence": f"{of}.confidence"}
            policy = build("policy", spec.model_copy(update={"options": options}))
            found[name] = policy.targets(said)
    return found


def _horizon(config: Config) -> int:
    """The longest horizon of a head in clock steps."""
    found = [head.options.get("horizon") for head in config.heads.values()]
    return max((one for one in found if isinstance(one, int)), default=LOOKBACK)


def _grid(desk: _Desk, targets: Targets, clock: Timeframe) -> list[AtCost]:
    return by_cost_and_delay(
        targets, desk.bars, desk.engine, desk.broker, clock_ms=clock.duration_ms
    )


def _coverage(desk: _Desk, targets: Targets, before: Predictions | None) -> list[AtCoverage]:
    fixed_on = None if before is None else desk.policy.targets(before)
    return by_coverage(targets, desk.bars, desk.engine, desk.broker, fixed_on=fixed_on)


def _desk(config: Config, bars: Bars) -> _Desk:
    spec = backtest_of(config)
    return _Desk(build("policy", spec.policy), build("backtest", spec), broker_of(config), bars)


def backtest_of(config: Config) -> BacktestSpec:
    """The config's backtest.

    Raises:
        ConfigError: it has none.
    """
    if config.backtest is None:
        raise ConfigError("backtest is null", "an engine and a policy", "set backtest.name=candle")
    return config.backtest


def broker_of(config: Config) -> Broker:
    """The terms of trade that a config has in ``costs`` and ``backtest``."""
    costs, spec = config.costs, backtest_of(config)
    return Broker(
        commission=costs.commission,
        maker_commission=costs.maker_commission,
        slippage_bps=costs.slippage_bps,
        order_latency_ms=costs.order_latency_ms,
        capital=spec.capital,
        used=spec.used,
        leverage=spec.leverage,
        maintenance_margin=spec.maintenance_margin,
        tick_size=costs.tick_size,
        lot_size=costs.lot_size,
        min_notional=costs.min_notional,
    )


def terms_of(config: Config) -> dict[str, Any]:
    """Policy, engine and costs as plain values, as the trial ledger tells trials apart by them."""
    return {
        "backtest": backtest_of(config).model_dump(mode="json"),
        "costs": config.costs.model_dump(mode="json"),
    }


def bars_of(config: Config, source: DataSource, symbol: str, start_ms: int, end_ms: int) -> Bars:
    """The clock's candles of a symbol in ``[start_ms, end_ms)``, with funding as the config says.

    With an order latency the finest stream of the symbol is laid beside them, where it is finer.

    Args:
        config: of the run.
        source: where its candles come from.
        symbol: to trade.
        start_ms: open time of the first bar.
        end_ms: end of the last bar.

    Raises:
        DataError: no candles there, or no funding rates.
    """
    clock = config.decisions.clock
    frames = [clock, *_finer(config, symbol)]
    wanted = [Request(symbol, frame, start_ms, end_ms) for frame in frames]
    candles, *fine = (Bars.of(one, start_ms, end_ms) for one in source.load(wanted))
    if not len(candles):
        raise DataError(
            f"no {clock} candles of {symbol} to trade on", "candles in the part", "mtf inspect FILE"
        )
    bars = replace(candles, fine=fine[0]) if fine else candles
    if config.costs.funding == "none":
        return bars
    return with_funding(bars, read_funding(config.costs.funding, symbol))


def _finer(config: Config, symbol: str) -> list[Timeframe]:
    """The finest delivered timeframe of the symbol below the clock's, where an order is late."""
    if not config.costs.order_latency_ms:
        return []
    own: list[StreamSpec] = [
        spec
        for spec in config.stream_specs(symbol)
        if spec.symbol == symbol and spec.derived_from is None
    ]
    finer = [spec.timeframe for spec in own if spec.timeframe < config.decisions.clock]
    return [min(finer)] if finer else []


def portfolio_of(
    traded: Sequence[Traded],
) -> tuple[Int64[np.ndarray, " day"], Float64[np.ndarray, " day"]]:
    """Days that all symbols have, and the mean of their net returns: equal capital every day."""
    if not traded:
        return np.empty(0, dtype=np.int64), np.empty(0)
    daily = [one.outcome.daily() for one in traded]
    days = daily[0][0]
    for other, _ in daily[1:]:
        days = np.intersect1d(days, other)
    returns = [found[np.isin(own, days)] for own, found in daily]
    return days, np.mean(returns, axis=0)


__all__ = [
    "Traded",
    "backtest_of",
    "bars_of",
    "broker_of",
    "portfolio_of",
    "terms_of",
    "trade",
]
