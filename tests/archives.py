"""An archive of trades on this machine: files as the exchange writes them, and who serves them."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

LINEAR_HEADER = (
    "timestamp,symbol,side,size,price,tickDirection,trdMatchID,"
    "grossValue,homeNotional,foreignNotional,RPI"
)
SPOT_HEADER = "id,timestamp,price,volume,side,rpi"


def linear_file(
    symbol: str, time_ms: np.ndarray, ids: list[str], price: np.ndarray, size: np.ndarray
) -> bytes:
    """A day of a perpetual: times in seconds with four digits, compressed."""
    lines = [
        f"{time / 1_000:.4f},{symbol},Buy,{lots},{at},PlusTick,{name},{at * lots * 1e8:g},"
        f"{lots},{at * lots:g},0"
        for time, name, at, lots in zip(
            time_ms.tolist(), ids, price.tolist(), size.tolist(), strict=True
        )
    ]
    return gzip.compress("\n".join([LINEAR_HEADER, *lines, ""]).encode(), mtime=0)


def spot_file(time_ms: np.ndarray, price: np.ndarray, size: np.ndarray) -> bytes:
    """A day of spot: times in milliseconds, ids from 1 on, compressed."""
    rows = zip(time_ms.tolist(), price.tolist(), size.tolist(), strict=True)
    lines = [f"{n + 1},{t},{p},{v},buy,0" for n, (t, p, v) in enumerate(rows)]
    return gzip.compress("\n".join([SPOT_HEADER, *lines, ""]).encode(), mtime=0)


def path_of(symbol: str, day: date | str, category: str = "linear") -> str:
    """Where the exchange puts the file of a day."""
    if category == "spot":
        return f"/spot/{symbol}/{symbol}_{day}.csv.gz"
    return f"/trading/{symbol}/{symbol}{day}.csv.gz"


class Served:
    """What is served, what was asked for, and what goes wrong first.

    Attributes:
        files: by path.
        asked: paths, in order.
        failures: statuses of the answers to come; 0 = a body that is cut off.
        elsewhere: where a 302 points to.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.asked = files, list[str]()
        self.failures: list[int] = []
        self.elsewhere = ""
        self.url = ""


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Served]:
    """Serve files on this machine."""
    served = Served(files)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            failure = served.failures.pop(0) if served.failures else 200
            body = served.files.get(self.path)
            status = failure or 200
            if status == 200 and body is None:
                status = 404
            self.send_response(status)
            if status == 302:
                self.send_header("Location", served.elsewhere)
            content = body if status == 200 and body is not None else b"no"
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content if failure else content[: len(content) // 2])

        def log_message(self, *_: object) -> None:
            """Nothing: pytest would show it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
