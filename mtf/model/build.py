"""From a config to the model it describes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from mtf.config.build import build
from mtf.config.schema import Config, CostsConfig
from mtf.market.stream import StreamSpec
from mtf.market.timeframe import Timeframe
from mtf.model.embeddings import TokenEmbeddings
from mtf.model.hybrid import HybridModel
from mtf.model.shared import stream_encoders
from mtf.model.tokens import Spans, token_spans
from mtf.plugins.contracts import Head, HeadContext


def build_model(
    config: Config,
    streams: tuple[StreamSpec, ...],
    in_channels: Mapping[str, int],
    clock: Timeframe,
) -> HybridModel:
    """Return the model with fresh weights, drawn from torch's global generator.

    Args:
        config: the whole config.
        streams: the streams in order.
        in_channels: feature channels of each stream.
        clock: the timeframe at whose closes decisions are made.

    Raises:
        ConfigError: parts that do not fit each other.
    """
    dim, encoder = config.model.embed_dim, config.model.encoder
    tokens = config.model.tokens
    spans = [token_spans(tokens.name, spec.lookback, tokens.patch) for spec in streams]
    channels = {spec.name: in_channels[spec.name] for spec in streams}
    make = partial(build, "encoder", encoder)
    return HybridModel(
        streams,
        stream_encoders(lambda count: make(count, dim), channels, encoder.weights),
        spans,
        TokenEmbeddings(streams, spans, dim, config.model.embeddings.position),
        build("fusion", config.model.fusion, dim, token_stream(spans)),
        build_heads(config, streams, clock),
        tokens.dropout,
    )


def build_heads(
    config: Config, streams: tuple[StreamSpec, ...], clock: Timeframe
) -> dict[str, Head]:
    """The heads of a config by name; their labels and metrics need no encoder."""
    context = HeadContext(
        embed_dim=config.model.embed_dim,
        streams=streams,
        clock=clock,
        order_latency_ms=config.costs.order_latency_ms,
        round_trip_cost=round_trip_cost(config.costs),
    )
    return {name: build("head", spec, context) for name, spec in config.heads.items()}


def round_trip_cost(costs: CostsConfig) -> float:
    """Fraction paid for one entry and one exit: commission and slippage, twice."""
    return 2 * (costs.commission + costs.slippage_bps / 10_000)


def token_stream(spans: list[Spans]) -> tuple[int, ...]:
    """The stream that each token belongs to."""
    return tuple(index for index, tokens in enumerate(spans) for _ in tokens)


__all__ = ["build_heads", "build_model", "round_trip_cost", "token_stream"]
