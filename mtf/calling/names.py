"""By which keywords the inputs of a model are given, and its targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from mtf.errors import DataError
from mtf.market.stream import StreamSpec
from mtf.market.symbols import base_coin, reference_stream
from mtf.plugins.contracts import Head

SIDE_KEYWORDS = {"order_book": "cob_data", "technical": "tech_data", "market": "market_data"}
"""Keyword of a side input by the name of its plug-in; others go by their own name."""
SINGLE, COUNTS_AS = "price_data", "price_data_1m"
Names = dict[str, tuple[str, ...]]
"""Keyword → the streams or side inputs that it feeds."""
TargetNames = dict[str, tuple[tuple[str, str], ...]]
"""Key → (head, target) that it is the label of."""

Fed = TypeVar("Fed")


def input_names(streams: Sequence[StreamSpec], side: Mapping[str, str]) -> Names:
    """All keywords that a model takes.

    ``price_data_1m`` feeds every primary stream at 1m, ``btc_data_1m`` every reference of BTC at
    1m, the name of a stream that one alone.

    Args:
        streams: of the model.
        side: side input → name of its plug-in.
    """
    names: Names = {}
    for spec in streams:
        who = "price" if spec.role == "primary" else base_coin(spec.symbol)
        keyword = f"{who}_data_{spec.timeframe}"
        names[keyword] = (*names.get(keyword, ()), spec.name)
    if COUNTS_AS in names:
        names[SINGLE] = names[COUNTS_AS]
    names |= {SIDE_KEYWORDS.get(plugin, name): (name,) for name, plugin in side.items()}
    return names | {name: (name,) for name in (*(spec.name for spec in streams), *side)}


def target_names(streams: Sequence[StreamSpec], heads: Mapping[str, Head]) -> TargetNames:
    """All keys of training targets.

    ``target_1m`` is the next candle of every primary stream at 1m, ``target_btc`` that of the
    finest reference of BTC, ``target_`` and the name of a stream that one's, and ``target_action``
    the class of the head ``action``.
    """
    keys: Names = {}
    for spec in streams:
        who = "" if spec.role == "primary" else f"{base_coin(spec.symbol)}_"
        key = f"target_{who}{spec.timeframe}"
        keys[key] = (*keys.get(key, ()), spec.name)
    if btc := reference_stream(streams, "btc"):
        keys["target_btc"] = (btc.name,)
    keys |= {f"target_{spec.name}": (spec.name,) for spec in streams}
    candles = [name for name, head in heads.items() if head.task == "candle"]
    pairs = {key: [(head, one) for head in candles for one in of] for key, of in keys.items()}
    names: TargetNames = {key: tuple(labels) for key, labels in pairs.items() if labels}
    classes = {n: head.targets[0] for n, head in heads.items() if head.task == "classification"}
    return names | {f"target_{head}": ((head, target),) for head, target in classes.items()}


def chosen(given: Iterable[str], names: Mapping[str, Sequence[Fed]], what: str) -> dict[Fed, str]:
    """Which keyword feeds each stream, side input or target.

    Args:
        given: keywords that were used.
        names: those that there are.
        what: they stand for, for messages: ``input``.

    Raises:
        DataError: a keyword that the model does not know, or two for the same.
    """
    feeds: dict[Fed, str] = {}
    for keyword in given:
        if keyword not in names:
            raise DataError(
                f"the model has no {what} {keyword!r}",
                f"one of {', '.join(names)}" if names else f"no {what} at all",
                f"leave it out, or use a model whose config has such an {what}"
                if what == "input"
                else "leave it out, or add the head that it is for to the config",
            )
        for fed in names[keyword]:
            if fed in feeds:
                raise DataError(
                    f"{feeds[fed]} and {keyword} are the same {what}",
                    f"each {what} once",
                    "leave one of them out",
                )
            feeds[fed] = keyword
    return feeds


def symbol_rows(symbol: str | Sequence[str], panel: Sequence[str], batch: int) -> list[int]:
    """Where in the panel each decision's symbol stands.

    Args:
        symbol: one for all, or one a decision.
        panel: the symbols that the model has learned; empty where it is only one.
        batch: number of decisions.

    Raises:
        DataError: a symbol that is not in it, or another number than there are decisions.
    """
    symbols = [symbol] * batch if isinstance(symbol, str) else list(symbol)
    unknown = [one for one in symbols if one not in panel]
    if unknown or len(symbols) != batch:
        found = f"{unknown[0]!r}" if unknown else f"{len(symbols)} symbols for {batch} decisions"
        raise DataError(
            f"found symbol {found}",
            f"one for all or [{batch}] of {', '.join(panel) or 'none: the model is no panel'}",
            "leave symbol out for one that the model has not learned",
        )
    return [panel.index(one) for one in symbols]


__all__ = ["chosen", "input_names", "symbol_rows", "target_names"]
