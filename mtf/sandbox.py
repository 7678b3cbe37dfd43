"""``mtf sandbox``: a stand-in for the exchange Bybit on this machine, until Ctrl-C.

Fetching and live decisions can be rehearsed against it: it serves recorded or made-up candles at
any speed and takes no orders.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from mtf.errors import MtfError
from mtf.market.times import iso
from mtf.realtime.sandbox.market import Market
from mtf.realtime.sandbox.recorded import RecordedMarket
from mtf.realtime.sandbox.recorded_trades import RecordedTradesMarket
from mtf.realtime.sandbox.server import Sandbox
from mtf.realtime.sandbox.synthetic import COINS, START_MS, SyntheticMarket

MOST_PORT = 65_535


def main(
    data: str | Path | None = None,
    *,
    trades: str | Path | None = None,
    symbols: Sequence[str] = (),
    speed: float = 1.0,
    port: int = 0,
    start: str | None = None,
    seed: int = 0,
) -> None:
    """Serve a market and print its address; ends with Ctrl-C.

    Args:
        data: folder of candles as parquet files, or the store that ``mtf fetch`` wrote.
        trades: folder of trades as parquet files; neither of the two = a made-up market.
        symbols: to serve; empty = all of the folder, or BTCUSDT, ETHUSDT and SOLUSDT.
        speed: market seconds a second.
        port: to listen on; 0 = any free one.
        start: when the market's clock starts (ISO, UTC); None = where minutes begin.
        seed: of all that is made up.

    Raises:
        MtfError: no such folder, no such time, a port that is taken.
    """
    if not 0 <= port <= MOST_PORT:
        raise MtfError(f"found --port {port}", f"0 to {MOST_PORT}; 0 is any free one")
    start_ms = None if start is None else _milliseconds(start)
    market = _market(data, trades, symbols, start_ms, seed)
    with Sandbox(market, start_ms=start_ms, speed=speed, port=port) as sandbox:
        print(*_lines(sandbox, speed), sep="\n", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("\nended", flush=True)


def _market(
    data: str | Path | None,
    trades: str | Path | None,
    symbols: Sequence[str],
    start_ms: int | None,
    seed: int,
) -> Market:
    """The market of a folder, or a made-up one with history before its start.

    Raises:
        MtfError: a start at which the folder has no minutes.
    """
    if data is None and trades is None:
        return SyntheticMarket(
            symbols or tuple(COINS), START_MS if start_ms is None else start_ms, seed
        )
    market: RecordedMarket | RecordedTradesMarket
    if data is None:
        market = RecordedTradesMarket(trades or "", seed)
    else:
        linear = Path(data) / "linear"
        folder = linear if linear.is_dir() else data
        market = RecordedMarket(folder, list(symbols) or None, seed)
    if start_ms is not None and not market.start_ms <= start_ms < market.end_ms:
        raise MtfError(
            f"found --start {iso(start_ms)}",
            f"a time from {iso(market.start_ms)} to {iso(market.end_ms)}, of which "
            "the folder has all symbols",
            "choose another time, or leave it out",
        )
    return market


def _milliseconds(text: str) -> int:
    """An ISO date or time as ms UTC.

    Raises:
        MtfError: it is none.
    """
    try:
        time = datetime.fromisoformat(text)
        return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1_000)
    except (ValueError, OverflowError):
        raise MtfError(
            f"found --start {text!r}", "an ISO date or time, UTC, such as 2025-06-01T12:00"
        ) from None


def _lines(sandbox: Sandbox, speed: float) -> list[str]:
    """What to print: the addresses first."""
    market = sandbox.exchange.market
    names = sorted(market.instruments)
    told = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return [
        f"REST        {sandbox.url}",
        f"websockets  {sandbox.websocket_url}",
        f"market      {told}; from {iso(sandbox.clock.now_ms())} UTC at {speed:g}x",
        "Ctrl-C ends it",
    ]


if __name__ == "__main__":
    import sys

    from mtf.cli import main as cli

    cli(["sandbox", *sys.argv[1:]])
