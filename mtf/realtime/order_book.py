"""The order book as the stream tells it, kept as one snapshot a second.

The stream tells the whole book once, then what changes. A change that was missed leaves a book
that looks like one and is none: then nothing is kept until the whole book is told again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from mtf.market.side.order_book import COLUMNS, LEVELS
from mtf.market.side.records import TIME
from mtf.realtime.events import Message
from mtf.realtime.frames import read_frame
from mtf.realtime.rest import MALFORMED
from mtf.realtime.store import check_symbol
from mtf.realtime.stored_files import read_table, told, write_table

DEPTH = 50
SECOND_MS, MINUTE_MS = 1_000, 60_000
DAMAGED = "move it away: nobody can tell that hour again; a new file is begun"


def book_topic(symbol: str) -> str:
    """The topic of a symbol's order book."""
    return f"orderbook.{DEPTH}.{check_symbol(symbol)}"


class LiveBook:
    """The book of one symbol.

    Attributes:
        usable: whether it is whole, and its best bid below its best ask.
        missed: how often it was not any more.
    """

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.missed = 0
        self._update: int | None = None
        self._data: Any = None
        self._sides: tuple[dict[float, float], dict[float, float]] = ({}, {})

    @property
    def usable(self) -> bool:
        """Whether it can be trusted."""
        return self._update is not None

    def lost(self) -> None:
        """Changes may have been missed."""
        self.missed += self.usable
        self._update = None

    def apply(self, kind: str, data: Any) -> None:
        """Take the data of a message: a ``snapshot`` is the whole book, a ``delta`` its changes."""
        try:
            update = int(data["u"])
            changes = (_levels(data["b"]), _levels(data["a"]))
        except MALFORMED:
            return self.lost()
        if kind == "snapshot" or update == 1:  # u = 1: the exchange started anew
            self._sides = ({}, {})
        elif self._update is None or data == self._data:  # changes may come twice
            return None
        elif update != self._update + 1:
            return self.lost()
        self._update, self._data = update, data
        for side, levels in zip(self._sides, changes, strict=True):
            side.update(levels)
            for price in [price for price, size in side.items() if size == 0]:
                del side[price]
        if self._crossed():
            self.lost()
        return None

    def row(self) -> Float64[np.ndarray, " 100"]:
        """Prices and sizes of the bids, then of the asks, the best first; NaN = no such level."""
        parts = np.full((4, LEVELS), np.nan)
        for number, (side, down) in enumerate(zip(self._sides, (True, False), strict=True)):
            best = sorted(side.items(), reverse=down)[:LEVELS]
            parts[2 * number : 2 * number + 2, : len(best)] = np.array(best).reshape(-1, 2).T
        return parts.reshape(-1)

    def _crossed(self) -> bool:
        """Whether a side is empty, or somebody bids what another asks."""
        bids, asks = self._sides
        return not bids or not asks or max(bids) >= min(asks)


class BookRecorder:
    """Keeps the book of one symbol: one row a second, one parquet file an hour.

    Files are such as ``BTCUSDT_book_2025-06-01T13.parquet``, with the columns that the side input
    ``order_book`` reads. A row's time is when its last change arrived: from then on it was known.
    The file of the hour is written anew each minute, and is whole at any time.

    Args:
        folder: of the files; it is made.
        symbol: whose ``book_topic`` is heard.

    Attributes:
        kept: rows so far.

    Raises:
        DataError: the disk refuses.
        MtfError: a symbol that is none.
    """

    def __init__(self, folder: str | Path, symbol: str) -> None:
        """Keep nothing yet."""
        self.folder, self.topic, self.symbol = Path(folder), book_topic(symbol), symbol
        with told(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self.book, self.kept = LiveBook(), 0
        self._broken_ms: int | None = None
        self._hour: Path | None = None
        self._times: list[int] = []
        self._rows: list[np.ndarray] = []
        self._written_ms = 0

    def write(self, message: Message) -> None:
        """Take a message; all but those about the book are left alone.

        Raises:
            DataError: the disk refuses, or a file of the hour can't be read.
        """
        # Not when it is opened: the whole book may be there before all topics are accepted.
        if message.kind == "state" and message.content["state"] in ("lost", "refused"):
            self.book.lost()
            self._broken_ms = None
        if message.kind == "frame" and self.topic in message.content["text"]:
            self._hear(message.content["text"])
            if self.book.usable:
                self._broken_ms = None
                self._keep(message.at_ms)
            elif self._broken_ms is None:
                self._broken_ms = message.at_ms

    def overdue(self, now_ms: int, patience_ms: int) -> str:
        """Why the whole book is to be asked for, which the exchange tells on subscription alone.

        Args:
            now_ms: the time.
            patience_ms: so long changes may come without a book that they belong to.

        Returns:
            The reason, once in that time; empty = there is none.
        """
        if self._broken_ms is None or now_ms - self._broken_ms <= patience_ms:
            return ""
        self._broken_ms = now_ms
        return f"order book of {self.symbol}: a change was missed, so all of it is asked for again"

    def close(self) -> None:
        """Write what is not written yet.

        Raises:
            DataError: the disk refuses.
        """
        if self._hour is not None and self._times:
            columns = np.array(self._rows).reshape(-1, len(COLUMNS)).T
            named = dict(zip(COLUMNS, columns, strict=True))
            write_table(self._hour, {TIME: np.array(self._times, np.int64), **named})

    def _hear(self, text: str) -> None:
        """Take a text of the stream."""
        try:
            frame = read_frame(text)
        except ValueError:
            self.book.lost()
        else:
            if frame is not None and frame.topic == self.topic:
                self.book.apply(frame.kind, frame.data)

    def _keep(self, at_ms: int) -> None:
        """The first book of a second is its row."""
        name = f"{self.symbol}_book_{np.datetime64(at_ms, 'ms').astype('M8[h]')}.parquet"
        hour = self.folder / name
        if hour != self._hour:
            self.close()
            self._begin(hour, at_ms)
        if self._times and at_ms // SECOND_MS <= self._times[-1] // SECOND_MS:
            return
        self._times.append(at_ms)
        self._rows.append(self.book.row())
        self.kept += 1
        if at_ms >= self._written_ms + MINUTE_MS:
            self.close()
            self._written_ms = at_ms

    def _begin(self, hour: Path, at_ms: int) -> None:
        """Go on where an earlier recorder of the hour stopped."""
        self._hour, self._times, self._rows, self._written_ms = hour, [], [], at_ms
        if hour.exists():
            times, rows = read_table(hour, (TIME, *COLUMNS), todo=DAMAGED)
            self._times, self._rows = times.tolist(), list(rows)


def _levels(rows: Any) -> dict[float, float]:
    """Sizes by price.

    Raises:
        ValueError: what is no number; other errors of ``MALFORMED`` where parts are missing.
    """
    levels = {float(price): float(size) for price, size in rows}
    numbers = np.array([[*levels.keys()], [*levels.values()]])
    if not np.isfinite(numbers).all() or (numbers < 0).any() or 0.0 in levels:
        raise ValueError("levels that are none")
    return levels
