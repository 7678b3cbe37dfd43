"""Damaged and hostile files of candles, by the hundred, each made in an empty folder.

A case says what becomes of the file: ``refused`` (a message with some words) or ``read`` (a number
of candles; what was no candle is gone). ``canary`` is what any code in a file would create.
"""

from __future__ import annotations

import gzip
import io
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

START = 1_640_995_200_000
ROWS = 12
HEADER = "open_time,open,high,low,close,volume"
Make = Callable[[Path, Path], Path]
"""Folder and canary to the file."""


@dataclass(frozen=True)
class Case:
    """One file.

    Attributes:
        make: writes it, and says where it is.
        words: of the message that refuses it; empty = it is read.
        candles: how many it is read as.
    """

    name: str
    make: Make
    words: tuple[str, ...] = ()
    candles: int = 0


def cases() -> list[Case]:
    """All of them."""
    return [*_not_candles(), *_cut(), *_texts(), *_tables(), *_times(), *_special()]


# ---------------------------------------------------------------- what is written


def rows(count: int = ROWS, step: int = 60_000, start: int = START) -> list[list[str]]:
    """Good lines, as fields."""
    return [[str(start + step * i), "10", "11", "9", "10.5", "1"] for i in range(count)]


def csv_text(lines: list[list[str]], header: str = HEADER, mark: str = ",") -> str:
    """Lines under a header."""
    return "\n".join([header.replace(",", mark), *(mark.join(line) for line in lines)]) + "\n"


def table(count: int = ROWS) -> pa.Table:
    """Good candles."""
    columns = {"open_time": START + 60_000 * np.arange(count), "open": np.full(count, 10.0)}
    columns |= {"high": np.full(count, 11.0), "low": np.full(count, 9.0)}
    columns |= {"close": np.full(count, 10.5), "volume": np.full(count, 1.0)}
    return pa.table(columns)


def changed(column: str, values: Any) -> pa.Table:
    """Good candles with another column."""
    good = table()
    return good.set_column(good.column_names.index(column), column, values)


def parquet_bytes(what: pa.Table, **options: Any) -> bytes:
    """A parquet file in memory."""
    sink = io.BytesIO()
    pq.write_table(what, sink, **options)
    return sink.getvalue()


def file(name: str, content: bytes | str) -> Make:
    """A file with this content."""

    def make(folder: Path, canary: Path) -> Path:
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


# ---------------------------------------------------------------- not candles at all


class Bomb:
    """Unpickling it creates the canary."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.canary}'",)


def _pickled(name: str, protocol: int) -> Make:
    def make(folder: Path, canary: Path) -> Path:
        (folder / name).write_bytes(pickle.dumps(Bomb(canary), protocol=protocol))
        return folder / name

    return make


def _numpy(name: str, *, zipped: bool) -> Make:
    def make(folder: Path, canary: Path) -> Path:
        bomb = np.array([Bomb(canary)], dtype=object)
        with (folder / name).open("wb") as out:
            np.savez(out, bomb=bomb) if zipped else np.save(out, bomb, allow_pickle=True)
        return folder / name

    return make


def _torch(name: str) -> Make:
    def make(folder: Path, canary: Path) -> Path:
        with zipfile.ZipFile(folder / name, "w") as out:
            out.writestr("archive/data.pkl", pickle.dumps(Bomb(canary), protocol=2))
            out.writestr("archive/version", "3\n")
        return folder / name

    return make


def _parquet_with_pickle(folder: Path, canary: Path) -> Path:
    """A column of pickles and pickles among the metadata: data, never objects."""
    text = pickle.dumps(Bomb(canary))
    good = changed("close", pa.array([text] * ROWS, pa.binary()))
    good = good.replace_schema_metadata({"pandas": text, "PANDAS_ATTRS": text})
    pq.write_table(good, folder / "x.parquet")
    return folder / "x.parquet"


def _parquet_with_metadata(folder: Path, canary: Path) -> Path:
    good = table().replace_schema_metadata({"pandas": pickle.dumps(Bomb(canary))})
    pq.write_table(good, folder / "x.parquet")
    return folder / "x.parquet"


def _parquet_of_extensions(folder: Path, canary: Path) -> Path:
    """An extension type whose parameters are a pickle."""
    fields = [
        pa.field(
            name,
            table().schema.field(name).type,
            metadata={
                "ARROW:extension:name": "arrow.py_extension_type",
                "ARROW:extension:metadata": pickle.dumps(Bomb(canary)),
            },
        )
        for name in table().column_names
    ]
    made = pa.Table.from_arrays(list(table().columns), schema=pa.schema(fields))
    pq.write_table(made, folder / "x.parquet")
    return folder / "x.parquet"


def _not_candles() -> Iterator[Case]:
    for suffix in ("csv", "parquet", "pt", "npy", "pkl", "txt"):
        word = "parquet" if suffix == "parquet" else ""
        for protocol in (0, 2, 5):
            name = f"x.{suffix}"
            yield Case(f"pickle {protocol} in {name}", _pickled(name, protocol), ("x.", word))
    for suffix in ("csv", "parquet", "npy", "npz"):
        for zipped in (False, True):
            make = _numpy(f"x.{suffix}", zipped=zipped)
            yield Case(f"numpy objects{' zipped' * zipped} in x.{suffix}", make, (f"x.{suffix}",))
    for suffix in ("pt", "csv", "parquet", "pth", "safetensors"):
        yield Case(f"torch pickle in x.{suffix}", _torch(f"x.{suffix}"), (f"x.{suffix}",))
    yield Case("pickles in a column", _parquet_with_pickle, ("column 'close'", "type binary"))
    yield Case("pickle in the metadata", _parquet_with_metadata, candles=ROWS)
    yield Case("pickle in an extension type", _parquet_of_extensions, candles=ROWS)
    for name, content, word in _foreign():
        for suffix in ("csv", "parquet"):
            words = (word,) if suffix == "csv" else ("can't be read as parquet",)
            yield Case(f"{name} in x.{suffix}", file(f"x.{suffix}", content), words)


def _foreign() -> Iterator[tuple[str, bytes, str]]:
    """Files of other programs, and what mtf calls them where it looks for text."""
    text = csv_text(rows()).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../x.csv", text)
    tape = io.BytesIO()
    with tarfile.open(fileobj=tape, mode="w") as archive_of_tape:
        archive_of_tape.addfile(tarfile.TarInfo("../../etc/x"), io.BytesIO(b""))
    arrow = io.BytesIO()
    feather.write_feather(table(), arrow)
    yield "a zip with a path out of the folder", packed.getvalue(), "a zip archive"
    yield "a tar with a path out of the folder", tape.getvalue(), "binary data"
    yield "gzip", gzip.compress(text), "a gzip file"
    yield "a gzip bomb", gzip.compress(b"\0" * 50_000_000), "a gzip file"
    yield "feather", arrow.getvalue(), "binary data"
    yield "sqlite", b"SQLite format 3\0" + bytes(100), "binary data"
    yield "HDF5", b"\x89HDF\r\n\x1a\n" + bytes(100), "binary data"
    yield "UTF-16", text.decode().encode("utf-16"), "UTF-16 text"
    yield "UTF-32", text.decode().encode("utf-32"), "UTF-16 text"
    yield "a web page", b"<!DOCTYPE html><html>no</html>", "a web page"
    yield "JSON", b'[[1640995200000, "10", "11", "9", "10", "1"]]', "JSON"
    yield "Python", b"import os\nos.system('touch canary')\n", "no column"
    yield "zeros", bytes(4_096), "binary data"
    yield "noise", np.random.default_rng(0).bytes(4_096), "binary data"
    yield "nothing", b"", "is empty"
    yield "line ends", b"\n" * 5_000, "is empty"
    yield "the magic word alone", b"PAR1", "can't be read as parquet"
    yield "the magic word twice", b"PAR1PAR1", "can't be read as parquet"
    yield "encrypted", b"PARE" + b"\x15\x04\0" * 30 + b"PARE", "binary data"


# ---------------------------------------------------------------- cut and flipped


def _cut() -> Iterator[Case]:
    whole = parquet_bytes(table())
    for share in range(1, 16):
        part = whole[: len(whole) * share // 16]
        words = ("can't be read as parquet", "load or copy the file again")
        yield Case(f"parquet cut at {share}/16", file("x.parquet", part), words)
    for missing in (1, 4, 8):
        cut = file("x.parquet", whole[:-missing])
        yield Case(f"parquet short by {missing}", cut, ("can't be read as parquet",))
    text = csv_text(rows())
    line = text.index("\n", len(text) // 2) + 1
    last = text[line:].split("\n")[0]
    for at in (2, 14, 16, 18, 21):
        cut = file("x.csv", text[: line + at])
        yield Case(f"csv cut {at} into {last[:5]}…", cut, ("x.csv:8", "6 fields"))
    yield Case("csv cut at a line's end", file("x.csv", text[:line]), candles=6)
    lie = bytearray(whole)
    for back in (5, 6):  # the length of the footer, little-endian before the last magic word
        lie[-back] ^= 0x7F
    yield Case(
        "parquet whose footer lies about its length", file("x.parquet", bytes(lie)), ("can't",)
    )
    damaged = bytearray(parquet_bytes(table(), compression="zstd"))
    damaged[8:120] = b"\xff" * 112
    yield Case(
        "parquet damaged in its pages", file("x.parquet", bytes(damaged)), ("can't be read",)
    )


# ---------------------------------------------------------------- text


def _with(line: int, field: int, value: str) -> str:
    """Good lines with one field changed."""
    lines = rows()
    lines[line][field] = value
    return csv_text(lines)


def _texts() -> Iterator[Case]:
    for role, field in {"open": 1, "high": 2, "low": 3, "close": 4, "volume": 5}.items():
        for value in ("nan", "inf", "-inf", "-1", "1e309", ""):
            make = file("x.csv", _with(4, field, value))
            yield Case(f"{role} {value or 'empty'} in csv", make, candles=ROWS - 1)
        for value in ("ten", "0x10", "1_000", "--1"):
            make = file("x.csv", _with(4, field, value))
            yield Case(f"{role} {value} in csv", make, (f"x.csv:6: column '{role}'", value))
    good = csv_text(rows())
    two = "\n".join(good.split("\n")[:2]) + "\n"
    yield Case("tabs", file("x.csv", good.replace(",", "\t")), candles=ROWS)
    yield Case("semicolons", file("x.csv", good.replace(",", ";")), candles=ROWS)
    yield Case("bars", file("x.csv", good.replace(",", "|")), candles=ROWS)
    yield Case(
        "two separators", file("x.csv", good[:200] + good[200:].replace(",", ";")), ("fields",)
    )
    yield Case("tildes", file("x.csv", good.replace(",", "~")), ("no separator",))
    yield Case(
        "decimal commas", file("x.csv", good.replace(",", ";").replace(".", ",")), ("point",)
    )
    yield Case("quotes", file("x.csv", good.replace("10.5", '"10.5"')), candles=ROWS)
    yield Case("an open quote", file("x.csv", good.replace("10.5", '"10.5', 1)), ("x.csv",))
    yield Case("a mark", file("x.csv", b"\xef\xbb\xbf" + good.encode()), candles=ROWS)
    yield Case("DOS line ends", file("x.csv", good.replace("\n", "\r\n")), candles=ROWS)
    yield Case("blank lines", file("x.csv", good.replace("\n", "\n\n")), candles=ROWS)
    yield Case("Latin-1 in the header", file("x.csv", good.encode() + b"\xe9\n"), ("fields",))
    yield Case("a NUL within", file("x.csv", good.replace("10.5", "10\0", 1)), ("binary data",))
    yield Case("a header and no row", file("x.csv", HEADER + "\n"), ("no rows",))
    yield Case("one row", file("x.csv", two), ("no timeframe can be told",))
    yield Case("one row, named", file("ETHUSDT_1m.csv", two), candles=1)
    yield Case("the header twice", file("x.csv", good + HEADER + "\n"), ("x.csv:14", "open_time"))
    yield Case("a column twice", file("x.csv", good.replace("volume", "close")), ("close",))
    yield Case(
        "names of control characters", file("x.csv", good.replace("open,", "\x1b[31m,")), ("open",)
    )
    yield Case("no header and words", file("x.csv", "a,b,c,d,e,f\n" * 5), ("no column",))
    yield Case(
        "4,000 columns",
        file("x.csv", ",".join(["a"] * 4_000) + "\n" + ",".join(["1"] * 4_000)),
        ("4000 in all",),
    )
    yield Case("a line of 3 MB", file("x.csv", good + "9" * 3_000_000), ("x.csv:14", "1 field"))
    yield Case("a field of 3 MB", file("x.csv", _with(4, 4, "9" * 3_000_000)), ("can't be read",))
    yield Case("a first line of 3 MB", file("x.csv", "9" * 3_000_000), ("no separator",))
    yield Case("a formula", file("x.csv", _with(4, 4, "=cmd|'/c calc'!A1")), ("x.csv:6", "close"))
    yield Case("twelve bad rows", file("x.csv", good.replace("10.5", "nan")), ("12 of 12 rows",))


# ---------------------------------------------------------------- tables


def _tables() -> Iterator[Case]:
    def parquet(name: str, made: pa.Table, *words: str, candles: int = 0, **options: Any) -> Case:
        content = parquet_bytes(made, **options)
        return Case(f"{name} in parquet", file("x.parquet", content), words, candles)

    for role in ("open", "high", "low", "close", "volume"):
        for value in (np.nan, np.inf, -np.inf, -1.0, None):
            values = table()[role].to_pylist()
            values[4] = value
            made = changed(role, pa.array(values, pa.float64()))
            yield parquet(f"{role} {value}", made, candles=ROWS - 1)
    empty = pa.array([None] * ROWS, pa.float64())
    yield parquet("a column of NaN", changed("close", pa.array([np.nan] * ROWS)), "12 of 12 rows")
    yield parquet("a column of nulls", changed("close", empty), "12 of 12 rows")
    yield parquet("a column of no type", changed("close", pa.nulls(ROWS)), "has type null")
    yield parquet("text", changed("close", pa.array(["10.5"] * ROWS)), "has type string")
    yield parquet("booleans", changed("close", pa.array([True] * ROWS)), "has type bool")
    yield parquet("structs", changed("close", pa.array([{"a": 1.0}] * ROWS)), "has type struct")
    yield parquet("lists", changed("close", pa.array([[1.0]] * ROWS)), "has type list")
    yield parquet(
        "a map",
        changed("close", pa.array([[("a", 1.0)]] * ROWS, pa.map_(pa.string(), pa.float64()))),
        "has type map",
    )
    yield parquet(
        "a dictionary",
        changed("close", pa.array(["10"] * ROWS).dictionary_encode()),
        "has type dictionary",
    )
    yield parquet(
        "decimals",
        changed("close", pa.array([10.5] * ROWS).cast(pa.decimal128(10, 2))),
        candles=ROWS,
    )
    yield parquet(
        "half floats", changed("close", pa.array(np.full(ROWS, 10.5, np.float16))), candles=ROWS
    )
    yield parquet(
        "bytes as numbers", changed("close", pa.array(np.full(ROWS, 10, np.uint8))), candles=ROWS
    )
    nested = pa.table({"candle": table().to_struct_array().combine_chunks()})
    yield parquet("nested candles", nested, "no column for open_time")
    twice = pa.Table.from_arrays(
        [*table().columns, table()["close"]], [*table().column_names, "close"]
    )
    yield parquet("a column twice", twice, "'close'", "twice")
    yield parquet("no row", table().slice(0, 0), "no timeframe can be told")
    yield parquet("no column", pa.table({}), "no column")
    yield parquet("2,000 columns", pa.table({f"c{i}": [1] for i in range(2_000)}), "2000 in all")
    mirrored = table().take(pa.array(range(ROWS - 1, -1, -1)))
    yield parquet("rows backwards", mirrored, candles=ROWS)
    yield parquet("every row twice", pa.concat_tables([table(), table()]), candles=ROWS)
    other = changed("close", pa.array([10.7] * ROWS))
    yield parquet(
        "every row twice, different", pa.concat_tables([table(), other]), "different values"
    )
    both = pa.concat_tables([table(), other.slice(0, 1)])
    yield parquet("one row twice, different", both, candles=ROWS - 1)
    squeezed = pa.table({name: pa.array(np.zeros(20_000_000, np.int8)) for name in ("a", "b")})
    yield parquet("40 MB of zeros in a few bytes", squeezed, "no column", compression="zstd")
    yield parquet("row groups of one", table(), candles=ROWS, row_group_size=1)


# ---------------------------------------------------------------- times


def _times() -> Iterator[Case]:
    base = START + 60_000 * np.arange(ROWS)
    for unit, factor in {"s": 1 / 1_000, "ms": 1, "us": 1_000, "ns": 1_000_000}.items():
        times = (base * factor).astype(np.int64)
        lines = [[str(t), *line[1:]] for t, line in zip(times, rows(), strict=True)]
        yield Case(f"times in {unit}, csv", file("x.csv", csv_text(lines)), candles=ROWS)
        made = changed("open_time", pa.array(times))
        yield Case(
            f"times in {unit}, parquet", file("x.parquet", parquet_bytes(made)), candles=ROWS
        )
        stamps = pa.array(base).cast(pa.timestamp("ms")).cast(pa.timestamp(unit))
        made = changed("open_time", stamps)
        yield Case(f"timestamps in {unit}", file("x.parquet", parquet_bytes(made)), candles=ROWS)
    zoned = pa.array(base).cast(pa.timestamp("ms", tz="America/New_York"))
    made = changed("open_time", zoned)
    yield Case("timestamps in New York", file("x.parquet", parquet_bytes(made)), candles=ROWS)
    texts = [f"2022-01-01T00:{i:02}:00+05:30" for i in range(ROWS)]
    made = changed("open_time", pa.array(texts))
    yield Case("texts with a zone", file("x.parquet", parquet_bytes(made)), candles=ROWS)
    made = changed("open_time", pa.array(base.astype(np.float64)))
    yield Case("times of floats", file("x.parquet", parquet_bytes(made)), candles=ROWS)
    made = changed("open_time", pa.array([*base[:-1].tolist(), None]))
    yield Case("a time of null", file("x.parquet", parquet_bytes(made)), ("row 12", "has no time"))
    bad = {
        "an infinite time": ("inf", ("open_time",)),
        "a time of words": ("noon", ("x.csv:6", "'noon'")),
        "a time beyond all": ("9" * 30, ("x.csv:6: column 'open_time': found '999",)),
        "a time among milliseconds in seconds": (str(START // 1_000), ()),  # off the grid
        "a time among milliseconds in microseconds": (str(START * 1_000), ("slots of 1m",)),
        "the year 1970": ("0", ("slots of 1m",)),
        "the year 9999": ("253402300740000", ("slots of 1m",)),
        "before 1970": ("-62135596800000", ("slots of 1m",)),
        "the largest number": (str(2**63 - 1), ()),
        "the smallest number": (str(-(2**63)), ()),
    }
    for name, (value, words) in bad.items():
        candles = 0 if words else ROWS - 1
        yield Case(name, file("x.csv", _with(4, 0, value)), words, candles)
    for name, start in {"all of 1970": 0, "all of 2090": 3_786_912_000_000}.items():
        yield Case(name, file("x.csv", csv_text(rows(start=start))), candles=ROWS)
    months = csv_text(rows(step=1))
    yield Case("rows 1 ms apart", file("x.csv", months), ("rows are 1 ms apart",))
    dates = csv_text([[f"2022-01-{i + 1:02}", *line[1:]] for i, line in enumerate(rows())])
    yield Case("dates", file("x.csv", dates), candles=ROWS)
    mixed = dates.replace("2022-01-05", "1641340800000")
    yield Case("dates and a number", file("x.csv", mixed), ("x.csv:6", "1641340800000"))
    american = csv_text([[f"01/{i + 1:02}/2022", *line[1:]] for i, line in enumerate(rows())])
    yield Case("American dates", file("x.csv", american), ("01/01/2022",))
    never = dates.replace("2022-01-05", "2022-02-30")
    yield Case("the 30th of February", file("x.csv", never), ("x.csv:6", "2022-02-30"))


# ---------------------------------------------------------------- what is no plain file


def _special() -> Iterator[Case]:
    def link(target: str) -> Make:
        def make(folder: Path, canary: Path) -> Path:
            (folder / "x.csv").symlink_to(target)
            return folder / "x.csv"

        return make

    def made(name: str, how: Callable[[Path], object]) -> Make:
        def make(folder: Path, canary: Path) -> Path:
            how(folder / name)
            return folder / name

        return make

    def nowhere(name: str) -> Make:
        return lambda folder, canary: folder / name

    yield Case("a link to itself", link("x.csv"), ("no file or folder",))
    yield Case("a link to nothing", link("gone.csv"), ("no file or folder",))
    yield Case("a link to endless zeros", link("/dev/zero"), ("no plain file",))
    yield Case("a link to nothing at all", link("/dev/null"), ("no plain file",))
    for suffix in ("csv", "parquet"):
        name = f"x.{suffix}"
        yield Case(f"a folder named {name}", made(name, Path.mkdir), ("is a folder",))
        yield Case(f"a pipe named {name}", made(name, os.mkfifo), ("no plain file",))
        yield Case(f"{name} that is not there", nowhere(name), ("no file or folder",))
    yield Case("a name with a NUL", nowhere("a\0.csv"), ("no file or folder",))
    yield Case("a name of 5,000 letters", nowhere("a" * 5_000 + ".csv"), ("no file or folder",))
    yield Case(
        "a path below a file",
        lambda folder, canary: file("a", "")(folder, canary) / "x.csv",
        ("no file or folder",),
    )
