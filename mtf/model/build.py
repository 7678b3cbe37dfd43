"""From a config to the model it describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from mtf.config.build import build
from mtf.config.schema import Config, CostsConfig
from mtf.errors import ConfigError
from mtf.market.forming import finer_streams
from mtf.market.stream import StreamSpec
from mtf.market.timeframe import Timeframe
from mtf.model.embeddings import TokenEmbeddings
from mtf.model.forming import FormingToken
from mtf.model.hybrid import HybridModel
from mtf.model.mirror import Mirror
from mtf.model.shared import stream_encoders
from mtf.model.side import SideToken
from mtf.model.tokens import Spans, token_spans
from mtf.model.trial import try_parts
from mtf.plugins import registry
from mtf.plugins.contracts import Head, HeadContext, SideContext, SideInput


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
        PluginError: a stranger's part that fails, or does not answer in the shape it should.
    """
    dim, encoder = config.model.embed_dim, config.model.encoder
    tokens = config.model.tokens
    spans = [token_spans(tokens.name, spec.lookback, tokens.patch) for spec in streams]
    forming = forming_streams(streams) if tokens.forming else ()
    shown = [spec.name in forming for spec in streams]
    channels = {spec.name: in_channels[spec.name] for spec in streams}
    make = partial(build, "encoder", encoder)
    sides = build_side_inputs(config, streams, clock)
    model = HybridModel(
        streams,
        stream_encoders(lambda count: make(count, dim), channels, encoder.weights),
        spans,
        TokenEmbeddings(streams, spans, dim, config.model.embeddings.position, config.panel),
        build(
            "fusion",
            config.model.fusion,
            dim,
            token_stream(spans, shown, len(sides)),
        ),
        build_heads(config, streams, clock),
        tokens.dropout,
        FormingToken(dim) if forming else None,
        forming,
        {name: SideToken(len(side.elements), dim) for name, side in sides.items()},
        build_mirror(config) if config.model.mirror else None,
    )
    check_turns(model)
    try_parts(model, config, in_channels, sum(map(len, spans)) + len(sides))
    return model


def build_mirror(config: Config) -> Mirror:
    """What turns the streams over.

    Raises:
        ConfigError: features or side inputs of which it is not known how they look upside down.
    """
    sets = {name: stream.features or config.features for name, stream in config.streams.items()}
    turned = {name: build("feature", spec).turned for name, spec in sets.items()}
    unknown = [
        f"features {sets[name].name} of stream {name}" for name in turned if not turned[name]
    ]
    unknown += [f"side input {name}" for name in config.side_inputs]
    if unknown:
        raise ConfigError(
            f"model.mirror is true, but {unknown[0]} can't be turned over",
            "features of which it is known how they look where every price p is 1 / p, such as "
            "ohlcv, and no side inputs",
            "set model.mirror to false, or leave them out",
        )
    return Mirror(turned)


def check_turns(model: HybridModel) -> None:
    """Refuse heads that can't be asked upside down.

    Raises:
        ConfigError: with their names.
    """
    rigid = [name for name, head in model.heads_by_name.items() if not head.turns]
    if model.mirror is not None and rigid:
        raise ConfigError(
            f"model.mirror is true, but the head {rigid[0]} can't be asked upside down",
            "heads with a method `turned`: action, price, volatility, next_candle, and confidence",
            f"set model.mirror to false, or leave out {', '.join(rigid)}",
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
        stride=config.training.sampling.stride,
    )
    heads: dict[str, Head] = {}
    for name, spec in sorted(config.heads.items(), key=lambda item: _reads(item[1].name)):
        heads[name] = build("head", spec, replace(context, heads=dict(heads)))
    return {name: heads[name] for name in config.heads}


def _reads(name: str) -> bool:
    """Whether a head of that name wants the others built before."""
    return bool(getattr(registry.load("head", name), "reads", False))


def round_trip_cost(costs: CostsConfig) -> float:
    """Fraction paid for one entry and one exit: commission and slippage, twice."""
    return 2 * (costs.commission + costs.slippage_bps / 10_000)


def forming_streams(streams: tuple[StreamSpec, ...]) -> tuple[str, ...]:
    """Names of the streams whose forming candle a finer stream of the same symbol sees."""
    return tuple(spec.name for spec in streams if finer_streams(streams, spec))


def build_side_inputs(
    config: Config, streams: tuple[StreamSpec, ...], clock: Timeframe, symbol: str | None = None
) -> dict[str, SideInput]:
    """The side inputs of a config by name; files of theirs are not read yet."""
    context = SideContext(symbol or config.symbol, streams, clock, config.seed)
    return {name: build("side_input", spec, context) for name, spec in config.side_inputs.items()}


def token_stream(
    spans: list[Spans], forming: Sequence[bool] = (), sides: int = 0
) -> tuple[int, ...]:
    """The stream that each token belongs to.

    Args:
        spans: the tokens of each stream.
        forming: which streams have one token more.
        sides: side inputs: one token each, as if of further streams.
    """
    more = [*forming, *[False] * (len(spans) - len(forming))]
    counts = [len(tokens) + extra for tokens, extra in zip(spans, more, strict=True)] + [1] * sides
    return tuple(index for index, count in enumerate(counts) for _ in range(count))


__all__ = [
    "build_heads",
    "build_model",
    "build_side_inputs",
    "forming_streams",
    "round_trip_cost",
    "token_stream",
]
