"""The manual of every key of a config, with units and defaults.

The options of plug-ins are not here: their constructors are their schema. Sections that only say
how to learn stand in ``sections``; what can be wrong between keys stands in ``checks``.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator

from mtf.config.plugin_spec import (
    BacktestSpec,
    DataSourceSpec,
    FeatureSpec,
    FusionSpec,
    PluginSpec,
    PolicySpec,
    SideInputSpec,
    Strict,
)
from mtf.config.sections import (
    CostsConfig,
    EmbeddingsConfig,
    EvaluationConfig,
    FabricConfig,
    OptimizerConfig,
    SamplingConfig,
    ScheduleConfig,
    SplitConfig,
    TokensConfig,
    TrainingConfig,
    WalkForwardConfig,
)
from mtf.config.values import TimeframeKey, TimeKey, to_ms
from mtf.market.stream import StreamSpec
from mtf.market.timeframe import Timeframe

NAME_PATTERN = r"^[a-z0-9_-]{1,60}$"


class EncoderSpec(PluginSpec):
    """What reads one stream."""

    kind = "encoder"

    name: str = Field("dsc", description="name of the encoder; `mtf list encoder`")
    weights: Literal["shared", "per_stream"] = Field(
        "shared", description="one encoder for all streams, or one for each"
    )


class HeadSpec(PluginSpec):
    """A thing to predict. The key under ``heads`` is the head's name unless ``name`` says one."""

    kind = "head"

    weight: float = Field(1.0, ge=0, description="weight of the head's loss in the sum")


class DecisionsConfig(Strict):
    """When the model is asked, and about what."""

    clock: TimeframeKey = Field(
        default=Timeframe.parse("1m"),
        description="decisions are made at the closes of this timeframe",
    )
    start: TimeKey = Field(
        description="first decision, ISO date or time, UTC; history before it is loaded as needed"
    )
    end: TimeKey = Field(description="end of the decisions (not included), ISO date or time, UTC")
    symbols: list[str] = Field(
        min_length=1,
        description="the primary symbols, such as [ETHUSDT]; of several, one model learns them all "
        "as a panel, and is told by a learned vector which one a decision is about",
    )

    @property
    def start_ms(self) -> int:
        """Start in ms UTC."""
        return to_ms(self.start)

    @property
    def end_ms(self) -> int:
        """End in ms UTC."""
        return to_ms(self.end)


class StreamConfig(Strict):
    """One symbol at one timeframe."""

    model_config = ConfigDict(
        validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    timeframe: TimeframeKey = Field(
        description="candle length: a count and a unit s, m, h, d or w; "
        "the stream's name where that is one"
    )
    lookback: int = Field(
        600, ge=1, description="slots that the model sees, ending at the last one"
    )
    symbol: str | None = Field(
        None,
        min_length=1,
        description="null: the primary symbol, in a panel each in its turn; else a reference",
    )
    latency_ms: int = Field(
        0,
        ge=0,
        description="from a candle's close until it may be known, in milliseconds; a derived "
        "stream has at least that of its source",
    )
    max_age: float = Field(
        3.0,
        gt=0,
        description="in candle durations: with an older last candle the whole stream is masked",
    )
    derived_from: str | None = Field(
        None, alias="from", description="name of the finer stream to resample from; null: delivered"
    )
    features: FeatureSpec | None = Field(
        None, description="features of this stream alone; null: those of the whole config"
    )


class ModelConfig(Strict):
    """From features to what the heads read."""

    embed_dim: int = Field(64, ge=1, description="size of every vector between encoder and heads")
    encoder: EncoderSpec = Field(
        default={}, validate_default=True, description="what reads one stream"
    )
    tokens: TokensConfig = Field(TokensConfig(), description="what a stream hands to the fusion")
    embeddings: EmbeddingsConfig = Field(EmbeddingsConfig(), description="what is added to tokens")
    fusion: FusionSpec = Field(
        default={},
        validate_default=True,
        description="how the tokens of all streams read each other",
    )
    mirror: bool = Field(
        False,
        description="learn from half of the decisions upside down (prices p as 1 / p, BUY as SELL) "
        "and answer with the mean of both ways up: a rise is foretold as surely as a fall",
    )


class Config(Strict):
    """A whole run, validated, with every default filled in."""

    name: str = Field(
        "run", pattern=NAME_PATTERN, description="folder of the runs; the file's name by default"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="of weights, batches and masks")
    plugins: list[str] = Field(
        [], description="Python files that register plug-ins; they are run, so know their author"
    )
    data: DataSourceSpec = Field(description="where the candles come from")
    decisions: DecisionsConfig = Field(description="when the model is asked, and about what")
    streams: dict[str, StreamConfig] = Field(
        min_length=1, description="what the model reads, by a name of your own"
    )
    features: FeatureSpec = Field(
        default={},
        validate_default=True,
        description="what the encoder sees of each candle",
    )
    side_inputs: dict[str, SideInputSpec] = Field(
        {}, description="inputs beside candles; the key is the side input unless it says `name`"
    )
    split: SplitConfig = Field(SplitConfig(), description="train, validation, calibration, test")
    costs: CostsConfig = Field(CostsConfig(), description="what trading costs")
    model: ModelConfig = Field(default={}, validate_default=True, description="the network")
    heads: dict[str, HeadSpec] = Field(
        default={"action": {}, "next_candle": {"weight": 0.1}},
        validate_default=True,
        min_length=1,
        description="what is predicted; the key is the head's name unless it says `name`",
    )
    training: TrainingConfig = Field(TrainingConfig(), description="the loop")
    fabric: FabricConfig = Field(FabricConfig(), description="devices, processes and precision")
    evaluation: EvaluationConfig = Field(EvaluationConfig(), description="baselines and intervals")
    walk_forward: WalkForwardConfig = Field(
        WalkForwardConfig(), description="how a config is trained anew along time"
    )
    backtest: BacktestSpec | None = Field(
        default={}, validate_default=True, description="how the model is traded; null: not at all"
    )

    @property
    def symbol(self) -> str:
        """The primary symbol; of a panel the first."""
        return self.decisions.symbols[0]

    @property
    def panel(self) -> tuple[str, ...]:
        """The primary symbols where they are several, else none."""
        symbols = tuple(self.decisions.symbols)
        return symbols if len(symbols) > 1 else ()

    def stream_specs(self, symbol: str | None = None) -> tuple[StreamSpec, ...]:
        """The streams in order, as the market knows them.

        Args:
            symbol: that the primary streams are of; None = the first of ``decisions.symbols``.
        """
        primary = symbol or self.symbol
        return tuple(self._stream_spec(*item, primary) for item in self.streams.items())

    def is_primary(self, stream: StreamConfig) -> bool:
        """Whether a stream is of the symbol that a decision is about, whichever it is."""
        return stream.symbol is None or [stream.symbol] == self.decisions.symbols

    def _stream_spec(self, name: str, stream: StreamConfig, primary: str) -> StreamSpec:
        own = self.is_primary(stream)
        source = self.streams[stream.derived_from] if stream.derived_from else stream
        return StreamSpec(
            name=name,
            symbol=primary if own else str(stream.symbol),
            timeframe=stream.timeframe,
            role="primary" if own else "reference",
            lookback=stream.lookback,
            latency_ms=max(stream.latency_ms, source.latency_ms),  # not known before its source
            max_age=stream.max_age,
            derived_from=stream.derived_from,
        )

    @field_validator("heads", "side_inputs", mode="before")
    @classmethod
    def _name_by_key(cls, named: Any) -> Any:
        if not isinstance(named, dict):
            return named
        return {
            key: {"name": key, **(one or {})} if isinstance(one, dict | None) else one
            for key, one in named.items()
        }

    @field_validator("streams", mode="before")
    @classmethod
    def _name_timeframes(cls, streams: Any) -> Any:
        if not isinstance(streams, dict):
            return streams
        return {key: _with_timeframe(key, stream) for key, stream in streams.items()}


def _with_timeframe(key: str, stream: Any) -> Any:
    if stream is None:
        stream = {}
    if isinstance(stream, dict) and re.fullmatch(r"[1-9][0-9]{0,3}[smhdw]", key):
        return {"timeframe": key, **stream}
    return stream


__all__ = [
    "BacktestSpec",
    "Config",
    "CostsConfig",
    "DataSourceSpec",
    "DecisionsConfig",
    "EmbeddingsConfig",
    "EncoderSpec",
    "EvaluationConfig",
    "FabricConfig",
    "FeatureSpec",
    "FusionSpec",
    "HeadSpec",
    "ModelConfig",
    "OptimizerConfig",
    "PluginSpec",
    "PolicySpec",
    "SamplingConfig",
    "ScheduleConfig",
    "SideInputSpec",
    "SplitConfig",
    "StreamConfig",
    "TokensConfig",
    "TrainingConfig",
    "WalkForwardConfig",
]
