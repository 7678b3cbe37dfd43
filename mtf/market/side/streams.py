"""Which stream a side input reads where its config does not say."""

from __future__ import annotations

from mtf.errors import ConfigError
from mtf.market.side_input import SideContext
from mtf.market.stream import StreamSpec


def primary_stream(context: SideContext, name: str | None) -> str:
    """The stream of the primary symbol of that name; None: the one at the clock, or the finest.

    Raises:
        ConfigError: no such stream, or one of another symbol.
    """
    own = [spec for spec in context.streams if spec.symbol == context.symbol]
    if name is not None:
        return _named(own, name, f"of {context.symbol}").name
    at_clock = [spec.name for spec in own if spec.timeframe == context.clock]
    return (at_clock or [min(own, key=lambda spec: spec.timeframe).name])[0]


def reference_stream(context: SideContext, name: str | None) -> StreamSpec | None:
    """The stream of another symbol of that name; None: the first there is, if any.

    Raises:
        ConfigError: no such stream, or one of the primary symbol.
    """
    others = [spec for spec in context.streams if spec.symbol != context.symbol]
    if name is not None:
        return _named(others, name, f"of another symbol than {context.symbol}")
    return others[0] if others else None


def _named(specs: list[StreamSpec], name: str, of: str) -> StreamSpec:
    """The one with that name.

    Raises:
        ConfigError: there is none.
    """
    found = [spec for spec in specs if spec.name == name]
    if not found:
        raise ConfigError(
            f"found stream {name!r} in a side input, which is no stream {of}",
            f"one of {', '.join(spec.name for spec in specs) or '(there is none)'}",
            "mend the name, or leave it out",
        )
    return found[0]


__all__ = ["primary_stream", "reference_stream"]
