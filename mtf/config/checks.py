"""What can be wrong between keys that are each right by themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator

from mtf.config.mistakes import Mistake
from mtf.config.schema import Config, StreamConfig

FILES_OF_A_SYMBOL = {"order_book": ("path",), "market": ("funding", "open_interest")}
"""Options of built-in side inputs that name a file about one symbol."""


def cross_checks(config: Config) -> list[Mistake]:
    """All contradictions between keys."""
    return [
        *_decisions(config),
        *_split(config),
        *_streams(config),
        *_files_of_symbols(config),
        *_model(config),
        *_training(config),
    ]


def _decisions(config: Config) -> Iterator[Mistake]:
    decisions = config.decisions
    if decisions.end_ms <= decisions.start_ms:
        yield Mistake(
            ("decisions", "end"),
            f"found {decisions.end}, not after decisions.start, {decisions.start}",
            "an end after the start",
            "swap or mend the dates",
        )
    twice = sorted({one for one in decisions.symbols if decisions.symbols.count(one) > 1})
    if twice:
        yield Mistake(
            ("decisions", "symbols"),
            f"found {', '.join(twice)} more than once",
            "every primary symbol once",
            "keep one of each",
        )


def _split(config: Config) -> Iterator[Mistake]:
    split = config.split
    total = split.train + split.validation + split.calibration + split.test
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        yield Mistake(
            ("split",),
            f"found shares that add up to {total:.6g}",
            "train + validation + calibration + test = 1",
            "mend the shares; what is not given has its default (0.7, 0.1, 0.05, 0.15)",
        )


def _streams(config: Config) -> Iterator[Mistake]:
    for name, stream in config.streams.items():
        if stream.derived_from is not None:
            yield from _derived(config, name, stream, stream.derived_from)
    if not any(config.is_primary(stream) for stream in config.streams.values()):
        yield Mistake(
            ("streams",),
            f"found no stream of the primary symbol {' or '.join(config.decisions.symbols)}",
            "at least one stream of the symbol that decisions are about",
            "leave out `symbol:` in one of them, or mend decisions.symbols",
        )


def _derived(config: Config, name: str, stream: StreamConfig, origin: str) -> Iterator[Mistake]:
    path = ("streams", name, "from")
    source = config.streams.get(origin)
    if source is None:
        others = ", ".join(other for other in config.streams if other != name)
        yield Mistake(
            path, f"found {origin!r}, no stream of this config", f"one of {others}", "mend the name"
        )
        return
    if source.derived_from is not None:
        yield Mistake(
            path,
            f"found {origin!r}, which is itself derived from {source.derived_from!r}",
            "a stream that is delivered",
            f"write `from: {source.derived_from}`",
        )
    theirs, ours = (_owner(config, one) for one in (source, stream))
    if theirs != ours:
        yield Mistake(
            path,
            f"found {origin!r}, a stream of {theirs}",
            f"a stream of {ours}",
            "mend `from` or `symbol`",
        )
    fine, coarse = source.timeframe, stream.timeframe
    if not (fine < coarse and coarse.duration_ms % fine.duration_ms == 0):
        yield Mistake(
            path,
            f"found {origin!r} with candles of {fine}, from which {coarse} can't be built",
            f"a finer stream whose candles fill one of {coarse} exactly",
            "derive it from another stream, or leave out `from`",
        )


def _owner(config: Config, stream: StreamConfig) -> str:
    """Whose candles a stream has, in words."""
    if stream.symbol is not None and not config.is_primary(stream):
        return stream.symbol
    return "the primary symbol" if config.panel else config.symbol


def _files_of_symbols(config: Config) -> Iterator[Mistake]:
    """In a panel one file of books or rates would be read as that of every symbol."""
    for keys, path in _named_files(config) if config.panel else ():
        if isinstance(path, str) and "{symbol}" not in path:
            yield Mistake(
                keys,
                f"found {path!r}, one file for {' and '.join(config.panel)}",
                "a file a symbol, {symbol} in its name standing for the primary symbol",
                "write {symbol} where the file names have it",
            )


def _named_files(config: Config) -> Iterator[tuple[tuple[str, ...], object]]:
    """Where a config names files about one symbol, and what it says there."""
    for name, spec in config.side_inputs.items():
        for key in FILES_OF_A_SYMBOL.get(spec.name, ()):
            yield ("side_inputs", name, key), spec.options.get(key)
    if config.costs.funding != "none":
        yield ("costs", "funding"), config.costs.funding


def _model(config: Config) -> Iterator[Mistake]:
    model = config.model
    heads = model.fusion.options.get("num_heads")
    if isinstance(heads, int) and heads > 0 and model.embed_dim % heads:
        yield Mistake(
            ("model", "embed_dim"),
            f"found {model.embed_dim}, not divisible by model.fusion.num_heads, {heads}",
            f"a multiple of {heads}",
            "change one of the two",
        )
    if (model.tokens.name == "patch") != (model.tokens.patch is not None):
        found = "found nothing" if model.tokens.patch is None else f"found {model.tokens.patch}"
        yield Mistake(
            ("model", "tokens", "patch"),
            f"{found} with model.tokens.name: {model.tokens.name}",
            "slots a token with name: patch, null with every other",
            "set model.tokens.patch, or model.tokens.name: patch",
        )


def _training(config: Config) -> Iterator[Mistake]:
    optimizer = config.training.optimizer
    if optimizer.momentum and optimizer.name != "rmsprop":
        yield Mistake(
            ("training", "optimizer", "momentum"),
            f"found {optimizer.momentum} with name: {optimizer.name}",
            "momentum only with name: rmsprop (adamw has its own)",
            "remove momentum",
        )
