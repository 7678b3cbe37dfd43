"""Every training, backtest and look of a run goes into the trial ledger, ``runs/ledger/``.

It lies beside the runs, not in them: what was tried and thrown away counts too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mtf.config.schema import Config
from mtf.evaluation.ledger import FOLDER, Ledger
from mtf.evaluation.standing import Standing, standing
from mtf.evaluation.traded import STRATEGY, Traded, portfolio_of, terms_of
from mtf.evaluation.trial import Kind, Trial, config_hash, market_of
from mtf.learning.json_files import read_json
from mtf.plugins.contracts import DataSource
from mtf.run import RUNS, Run

if TYPE_CHECKING:
    from mtf.learning.task import Task
    from mtf.predictions import Predictions


@dataclass(frozen=True)
class Looked:
    """What was looked at: a part of the data, about some symbols.

    Attributes:
        part: its name.
        symbols: that were asked about.
        start_ms: of the part, in ms UTC.
        end_ms: of the part, not included.
    """

    part: str
    symbols: tuple[str, ...]
    start_ms: int
    end_ms: int

    @classmethod
    def of(cls, said: Sequence[Predictions], config: Config) -> Looked:
        """From the first to the last decision of what was said."""
        clock_ms = config.decisions.clock.duration_ms
        return cls(
            said[0].part,
            tuple(one.symbol for one in said),
            min(int(one.times[0]) for one in said),
            max(int(one.times[-1]) for one in said) + clock_ms,
        )


def record(
    run: Run,
    kind: Kind,
    source: DataSource,
    looked: Looked,
    traded: Sequence[Traded] = (),
    config: Config | None = None,
) -> Standing:
    """Write down what was tried, and judge it beside all that was tried before.

    Args:
        run: that it was tried with.
        kind: of the trial.
        source: where the candles come from; a made-up market is no real one.
        looked: at what.
        traded: symbol by symbol, where it was traded.
        config: with the costs and the backtest at which it was; None = the run's.

    Raises:
        CheckpointError: the ledger can't be written or read.
    """
    trial = _trial(run, kind, source, looked, traded, config or run.config)
    ledger = Ledger(RUNS / FOLDER)
    ledger.record(trial)
    return standing(ledger.read(), trial)


def look(run: Run, task: Task, part: str, symbol: str | None = None) -> Standing:
    """Write down that the figures or answers of a part were looked at.

    Args:
        run: that was asked.
        task: the run made ready.
        part: of the data.
        symbol: that was asked about alone; None = every symbol of the run.
    """
    where = task.parts[part]
    symbols = tuple(run.config.decisions.symbols) if symbol is None else (symbol,)
    return record(run, "look", task.source, Looked(part, symbols, where.start_ms, where.end_ms))


def _trial(
    run: Run,
    kind: Kind,
    source: DataSource,
    looked: Looked,
    traded: Sequence[Traded],
    config: Config,
) -> Trial:
    made_with: Mapping[str, Any] = read_json(run.path / "environment.json")
    days, net_return = portfolio_of(traded)
    figures = (
        {name: one.value for name, one in traded[0].metrics[STRATEGY].items()} if traded else {}
    )
    return Trial(
        kind=kind,
        run=str(run.path),
        name=run.config.name,
        config_hash=config_hash(run.config, made_with.get("plugin_files") or {}),
        data_hash=str(made_with.get("data_fingerprint")),
        market=market_of(run.config, source),
        symbols=looked.symbols,
        seed=run.config.seed,
        part=looked.part,
        start_ms=looked.start_ms,
        end_ms=looked.end_ms,
        terms=terms_of(config) if traded else {},
        days=days,
        net_return=net_return,
        figures=figures,
    )


__all__ = ["Looked", "look", "record"]
