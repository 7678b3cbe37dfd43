"""The form of a text file of candles, found out from its first lines: header, separator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mtf.errors import DataError
from mtf.market.arrow_times import is_iso

HEAD_BYTES = 1 << 16
SEPARATORS = (",", ";", "|", "\t", " ")
NULLS = ["", "nan", "NaN", "NAN", "null", "NULL", "Null", "None", "none", "NA", "N/A", "#N/A"]
"""Texts that stand for a missing number: NaN."""


def head_of(path: Path) -> list[tuple[int, str]]:
    """Number (from 0) and text of the first lines that are not blank."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}", "a file", "check path") from None
    if b"\0" in head or head[:4] in (b"PAR1", b"PK\x03\x04") or head[:2] == b"\x1f\x8b":
        raise _binary(path, head)
    text = head.decode("utf-8-sig", errors="replace")
    lines = [(number, line) for number, line in enumerate(text.splitlines()) if line.strip()]
    if len(head) == HEAD_BYTES and len(lines) > 2:
        lines.pop()  # it may be cut
    if not lines:
        raise DataError(f"{path} is empty", "rows of candles", "load the file again")
    if lines[0][1].lstrip()[0] in "{[<":
        raise DataError(
            f"{path}:1: found {lines[0][1].strip()[:60]!r}, which looks like JSON or a web page",
            "a text file with one candle a line",
            "look into it: it may be a server's error message; load the file again",
        )
    return lines


def _binary(path: Path, head: bytes) -> DataError:
    """Not text; say what it may be."""
    kinds = {
        b"PAR1": ("a parquet file", "use data.name=parquet"),
        b"PK\x03\x04": ("a zip archive", "unpack it"),
        b"\x1f\x8b": ("a gzip file", "unpack it"),
        b"\xff\xfe": ("UTF-16 text", "save it as UTF-8"),
        b"\xfe\xff": ("UTF-16 text", "save it as UTF-8"),
    }
    default = ("binary data", "load or export the file again as text")
    kind, todo = next((v for magic, v in kinds.items() if head.startswith(magic)), default)
    return DataError(f"{path} is {kind}", "a text file (UTF-8) with one candle a line", todo)


def separator_of(path: Path, lines: Sequence[str], separator: str) -> str:
    """The separator said, or the one that all of the first lines have equally often."""
    if separator != "auto":
        if len(separator) != 1:
            raise DataError(f"found separator {separator!r}", "one character, or auto", "set it so")
        return separator
    counts = {mark: [line.count(mark) for line in lines[:20]] for mark in SEPARATORS}
    even = [mark for mark in SEPARATORS if min(counts[mark]) == max(counts[mark]) > 0]
    some = [mark for mark in SEPARATORS[:-1] if counts[mark][0] > 0]
    best = max(even or some, key=lambda mark: counts[mark][0] if mark != " " else 0, default=None)
    if best is None:
        raise DataError(
            f"{path}: found no separator in {lines[0][:60]!r}",
            "fields separated by , ; | or a tab",
            "set `separator:`, or check that this is a file of candles",
        )
    return best


def has_names(fields: Sequence[str]) -> bool:
    """A header has words; a row of candles has numbers and at most times in words."""
    return any(
        not (is_number(f.strip()) or f.strip() in NULLS or is_iso(f.strip())) for f in fields
    )


def is_number(text: str) -> bool:
    """Whether a field is a number as Arrow reads them."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
