"""Commands that speak to an exchange, or stand in for one."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from mtf.commands.app import Run, Trust, app


@app.command()
def sandbox(
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Candles to serve; a made-up market where neither is said."
        ),
    ] = None,
    trades: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Trades to serve instead.")
    ] = None,
    symbol: Annotated[list[str] | None, typer.Option(help="To serve; may be repeated.")] = None,
    speed: Annotated[float, typer.Option(help="Market seconds a second.")] = 1.0,
    port: Annotated[int, typer.Option(help="0 = any free one.")] = 0,
    start: Annotated[
        str | None, typer.Option(help="When the market's clock starts, in UTC.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is made up.")] = 0,
) -> None:
    """Stand in for the exchange Bybit on this machine, until Ctrl-C."""
    from mtf.realtime.extra import live_extra

    with live_extra("mtf sandbox"):
        from mtf import sandbox as verb

    verb.main(
        data,
        trades=trades,
        symbols=symbol or [],
        speed=speed,
        port=port,
        start=start,
        seed=seed,
    )


@app.command()
def fetch(
    exchange: Annotated[str, typer.Argument(metavar="EXCHANGE", help="bybit")],
    symbols: Annotated[list[str], typer.Argument(metavar="SYMBOL...", help="Such as ETHUSDT.")],
    timeframes: Annotated[
        str, typer.Option(help="Of the candles, with commas between them.")
    ] = "1m",
    since: Annotated[str | None, typer.Option(help="From when, in UTC.")] = None,
    until: Annotated[str | None, typer.Option(help="Up to when; now where not said.")] = None,
    store: Annotated[
        str, typer.Option(metavar="FOLDER", help="Where to; what is there is not asked for.")
    ] = "data/bybit",
    funding: Annotated[bool, typer.Option("--funding", help="Funding rates, too.")] = False,
    trades: Annotated[
        list[str] | None,
        typer.Option(metavar="DATE", help="A day whose trades become 1s candles; may be repeated."),
    ] = None,
    category: Annotated[str, typer.Option(help="linear (perpetuals) or spot.")] = "linear",
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="Another host, such as that of mtf sandbox.")
    ] = None,
    archive: Annotated[
        str | None, typer.Option(metavar="URL", help="Another archive of trades.")
    ] = None,
    per_second: Annotated[
        float | None, typer.Option(help="Requests; well below the exchange's limit by default.")
    ] = None,
    book: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Listen to the order book for so long: a snapshot a second."
        ),
    ] = None,
    speed: Annotated[float, typer.Option(help="Of mtf sandbox, for --book.")] = 1.0,
) -> None:
    """Fetch candles, funding rates and trades of an exchange: only what is missing."""
    from mtf import fetch as verb

    verb.main(
        exchange,
        symbols,
        timeframes=[name.strip() for name in timeframes.split(",")],
        since=since,
        until=until,
        store=store,
        funding=funding,
        trades=trades or [],
        category=category,
        endpoint=endpoint,
        archive=archive,
        per_second=per_second,
        book=book,
        speed=speed,
    )


@app.command()
def live(
    run: Run,
    symbol: Annotated[
        str | None, typer.Option(help="To trade; that of the run where not said.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="Another host, such as that of mtf sandbox.")
    ] = None,
    speed: Annotated[float, typer.Option(help="Of mtf sandbox: market seconds a second.")] = 1.0,
    signals_only: Annotated[
        bool, typer.Option("--signals-only", help="No account, not even on paper.")
    ] = False,
    decision_delay: Annotated[
        float, typer.Option(metavar="SECONDS", help="From a close until the decision.")
    ] = 2.0,
    lasts: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="Of the market, such as 1h.")
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="A new account; else the last session goes on.")
    ] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of a screen.")] = False,
    trust_plugins: Trust = False,
) -> None:
    """Decide live as candles close, and trade on paper, until Ctrl-C. No order is ever sent."""
    from mtf.realtime.extra import live_extra

    print(f"mtf live {run}", flush=True)  # torch takes seconds
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a decision is too small to be shared
    with live_extra("mtf live"):
        from mtf import live as verb

    verb.main(
        run,
        symbol=symbol,
        endpoint=endpoint,
        speed=speed,
        signals_only=signals_only,
        decision_delay_s=decision_delay,
        lasts=lasts,
        new=new,
        plain=plain,
        trust=trust_plugins,
    )


@app.command()
def replay(
    sessions: Annotated[
        list[str],
        typer.Argument(
            metavar="SESSION...", help="RUN/live/<time>, a recording in it, or RUN: its newest."
        ),
    ],
    run: Annotated[
        str | None, typer.Option(metavar="RUN", help="That decided, where it was moved.")
    ] = None,
    trust_plugins: Trust = False,
) -> None:
    """Go through recorded sessions again: do they decide the same, and does the backtest?"""
    from mtf.realtime.extra import live_extra

    print(f"mtf replay {' '.join(sessions)}", flush=True)  # torch takes seconds
    with live_extra("mtf replay"):
        from mtf import replay as verb

    identical = [verb.main(one, run=run, trust=trust_plugins) for one in sessions]
    if not all(identical):
        raise typer.Exit(1)
