"""One record of the trial ledger: what was tried, on which days, and what it earned.

What counts as the same trial is decided here: ``config_hash`` says the same of two configs that
train the same model, and ``Trial.key`` adds candles, seed and terms of trade. ``market_of`` tells
made-up markets apart, whose symbols and dates would otherwise look like real ones. Knows nothing of
where records are kept (``ledger``) nor of what follows from them (``standing``).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float64, Int64

from mtf.config.schema import Config
from mtf.plugins.contracts import DataSource

SCHEMA = 1
Kind = Literal["train", "backtest", "look", "walk_forward", "fold", "null"]
KINDS: tuple[str, ...] = get_args(Kind)
REAL = "candles"
"""The market of every source that does not know its own law."""
NO_DAYS = np.empty(0, dtype=np.int64)
NO_RETURNS = np.empty(0, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Trial:
    """Something that was tried on a part of the data.

    Attributes:
        kind: what was done: a training, a backtest, a look at the figures of a part, a
            walk-forward, one training of it (a fold), or a null (a training on data in which there
            is nothing by construction).
        run: its folder; empty where there is none.
        name: of the config, or of the strategy.
        config_hash: of what was trained (``config_hash``).
        data_hash: fingerprint of all candles that were loaded. It changes with the lookback, so it
            tells whether two trials are the same one, never whether they are of the same market.
        market: which world the candles are of (``market_of``).
        symbols: that were traded or asked about.
        seed: of the training.
        part: of the data; the records of ``test`` are looks at it.
        start_ms: of the part, in ms UTC.
        end_ms: of the part, not included.
        terms: policy, engine and costs in words and numbers that JSON has; empty without trading.
        days: whole days since 1970, UTC, ascending.
        net_return: of each day, as a fraction, net of costs; NaN where the equity was gone.
        figures: headline figures by name, ``sharpe_ratio`` among them.
        time: when it was recorded, ISO 8601 in UTC; empty before that.
    """

    kind: Kind
    run: str
    name: str
    config_hash: str
    data_hash: str
    market: str
    symbols: tuple[str, ...]
    seed: int
    part: str
    start_ms: int
    end_ms: int
    terms: Mapping[str, Any] = field(default_factory=dict)
    days: Int64[np.ndarray, " day"] = field(default_factory=NO_DAYS.copy)
    net_return: Float64[np.ndarray, " day"] = field(default_factory=NO_RETURNS.copy)
    figures: Mapping[str, float] = field(default_factory=dict)
    time: str = ""

    def __post_init__(self) -> None:
        """Refuse what is no record.

        Raises:
            ValueError: an unknown kind, days out of order, or not as many returns as days.
        """
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r} is none of {', '.join(KINDS)}")
        if self.days.shape != self.net_return.shape:
            raise ValueError(f"{len(self.days)} days, but {len(self.net_return)} returns")
        if (np.diff(self.days) <= 0).any():
            raise ValueError("the days are not ascending")

    @property
    def trained(self) -> tuple[str, str, int]:
        """What the same model has in common: config, candles and seed."""
        return self.config_hash, self.data_hash, self.seed

    @property
    def key(self) -> tuple[Any, ...]:
        """Two records with the same key are one trial: whatever is done again must agree."""
        span = (self.symbols, self.part, self.start_ms, self.end_ms)
        return (*self.trained, *span, canonical(self.terms))

    def meets(self, market: str, symbols: tuple[str, ...], start_ms: int, end_ms: int) -> bool:
        """Whether this is of the same market, one of the symbols, and a span that overlaps."""
        ours = self.market == market and not set(symbols).isdisjoint(self.symbols)
        return ours and self.start_ms < end_ms and start_ms < self.end_ms

    def as_dict(self) -> dict[str, Any]:
        """The record as JSON has it: days as ISO dates, null for what is not finite."""
        dates = self.days.astype("datetime64[D]").astype(str).tolist()
        return {
            "schema": SCHEMA,
            "time": self.time,
            **{name: getattr(self, name) for name in ("kind", "run", "name")},
            **{name: getattr(self, name) for name in ("config_hash", "data_hash", "market")},
            "symbols": list(self.symbols),
            **{name: getattr(self, name) for name in ("seed", "part", "start_ms", "end_ms")},
            "terms": dict(self.terms),
            "figures": {name: _finite(value) for name, value in self.figures.items()},
            "daily": {"day": dates, "net_return": [_finite(one) for one in self.net_return]},
        }


def trial_of(record: Any) -> Trial:
    """The trial that a record is of.

    Raises:
        ValueError: it is no record of a trial, or one of a later version.
    """
    try:
        if record["schema"] != SCHEMA:
            raise ValueError(f"schema {record['schema']!r}, not {SCHEMA}")
        daily = record["daily"]
        words = ("kind", "run", "name", "config_hash", "data_hash", "market", "part", "time")
        return Trial(
            **{name: _typed(record[name], str) for name in words},
            **{name: _typed(record[name], int) for name in ("seed", "start_ms", "end_ms")},
            symbols=tuple(_typed(one, str) for one in _typed(record["symbols"], list)),
            terms=_typed(record["terms"], dict),
            days=np.array(daily["day"], dtype="datetime64[D]").astype(np.int64),
            net_return=np.array([_real(one) for one in daily["net_return"]], np.float64),
            figures={name: _real(value) for name, value in record["figures"].items()},
        )
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"not a record of a trial ({error!r})") from error


def config_hash(config: Config, plugin_files: Mapping[str, str] | None = None) -> str:
    """A sha256 that is the same for two configs that train the same model on the same candles.

    Left out, as it changes nothing of what is tried: the name; ``data``, of which the fingerprint
    tells (a file may move); the seed and ``backtest``, which a trial has beside it (``terms``);
    devices and threads; how often a checkpoint is written; what is measured on the way; baselines,
    resamples and permutations.
    The order of keys does not matter, except under ``streams`` and ``heads``, whose order draws
    other weights. Everything else does, costs and plug-in files too.

    Args:
        config: as resolved.
        plugin_files: path → sha256 of the plug-in files that it names
            (``mtf.plugins.files.load_files``), which stand for their paths.
    """
    values = config.model_dump(mode="json", by_alias=True)
    for name in ("name", "data", "seed", "evaluation", "backtest"):
        del values[name]
    values["fabric"] = {"precision": config.fabric.precision}
    for name in ("checkpoint_every", "measure_train"):
        del values["training"][name]
    values["plugins"] = sorted((plugin_files or {}).values()) or values["plugins"]
    for name in ("streams", "heads"):
        values[name] = list(values[name].items())
    return hashlib.sha256(canonical(values).encode()).hexdigest()


def market_of(config: Config, source: DataSource) -> str:
    """Which world a source's candles are of: one real market, and as many made-up ones as wanted.

    A source that knows its own law (``best_forecast``) makes its market up; how, is its name.
    """
    if type(source).best_forecast is DataSource.best_forecast:
        return REAL
    return canonical(config.data.model_dump(mode="json", by_alias=True))


def canonical(value: Any) -> str:
    """JSON with sorted keys: equal for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _finite(value: float) -> float | None:
    """A number as JSON has it."""
    return float(value) if math.isfinite(value) else None


def _real(value: Any) -> float:
    """A number from JSON, NaN for null."""
    return math.nan if value is None else float(_typed(value, float))


def _typed(value: Any, kind: type) -> Any:
    """The value, if it is of the kind.

    Raises:
        TypeError: it is not.
    """
    fits = isinstance(value, (int, float) if kind is float else kind)
    if not fits or isinstance(value, bool):  # which is an int, too
        raise TypeError(f"found {value!r}, not {kind.__name__}")
    return value
