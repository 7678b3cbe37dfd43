"""Commands that speak to an exchange, or stand in for one."""

from __future__ import annotations

from typing import Annotated

import typer

from mtf.commands.app import app


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
