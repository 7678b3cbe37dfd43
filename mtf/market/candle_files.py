"""A folder of candle files: which files hold a symbol at a timeframe, told by their names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from mtf.errors import DataError
from mtf.market.columns import nearest
from mtf.market.timeframe import Timeframe

NAME = re.compile(r"(?P<symbol>.+?)_(?P<timeframe>[1-9][0-9]{0,3}[smhdw])(_.*)?", re.ASCII)
"""``ETHUSDT_1m``, ``ETHUSDT_1m_2023``: symbol, timeframe, anything after another underscore."""


def symbol_of(path: Path) -> str | None:
    """The symbol that a file name tells; None = it tells none."""
    match = NAME.fullmatch(path.stem)
    return match["symbol"] if match else None


def timeframe_of(path: Path) -> Timeframe | None:
    """The timeframe that a file name tells; None = it tells none."""
    match = NAME.fullmatch(path.stem)
    return Timeframe.parse(match["timeframe"]) if match else None


def check_path(path: Path, key: str = "data.path") -> Path:
    """The path, if something is there.

    Raises:
        DataError: nothing is there, or something that is neither file nor folder.
    """
    if os.path.isfile(path) or os.path.isdir(path):  # unlike Path's, quiet about impossible names
        return path
    if os.path.exists(path):
        raise DataError(
            f"{path} is no plain file",  # to read a pipe may wait for ever, a device never ends
            "a file, or a folder of files",
            f"copy what it holds into a file, and name that as {key}",
        )
    folder = next((parent for parent in path.parents if os.path.isdir(parent)), Path())
    there = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))[:10]
    raise DataError(
        f"no file or folder {path}{nearest(path.name, there)}",
        f"a path relative to {Path.cwd()}, or an absolute one",
        f"check {key}; {folder} has {', '.join(there) or 'nothing'}",
    )


def files_for(folder: Path, pattern: str, symbol: str, timeframe: Timeframe) -> list[Path]:
    """The files of one symbol and timeframe, sorted by name.

    Args:
        folder: where to look (not below it).
        pattern: file name with ``{symbol}`` and ``{timeframe}``; ``*`` stands for anything that
            starts with an underscore, or for nothing.
        symbol: such as ETHUSDT.
        timeframe: of the candles in the files.

    Raises:
        DataError: a pattern without both words; no such file.
    """
    wanted = _regex(pattern, re.escape(symbol), re.escape(str(timeframe)))
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    found = [folder / name for name in names if wanted.fullmatch(name)]
    if not found:
        raise _none_found(folder, pattern, symbol, timeframe, names)
    return found


def _regex(pattern: str, symbol: str, timeframe: str) -> re.Pattern[str]:
    """A pattern with its words replaced by expressions."""
    if "{symbol}" not in pattern or "{timeframe}" not in pattern:
        raise DataError(
            f"found pattern {pattern!r}",
            "a file name with {symbol} and {timeframe}, such as {symbol}_{timeframe}*.parquet",
            "set data.pattern in that form",
        )
    text = re.escape(pattern).replace(r"\*", "(_.*)?")
    text = text.replace(r"\{symbol\}", symbol, 1).replace(r"\{timeframe\}", timeframe, 1)
    return re.compile(text)


def _none_found(
    folder: Path, pattern: str, symbol: str, timeframe: Timeframe, names: list[str]
) -> DataError:
    """Tell what symbols and timeframes there are instead."""
    anything = _regex(pattern, "(?P<symbol>.+?)", "(?P<timeframe>[1-9][0-9]{0,3}[smhdw])")
    matches = [match for match in map(anything.fullmatch, names) if match]
    there: dict[str, list[str]] = {}
    for match in matches:
        frames = there.setdefault(match["symbol"], [])
        if match["timeframe"] not in frames:
            frames.append(match["timeframe"])
    told = "; ".join(f"{name}: {', '.join(sorted(frames))}" for name, frames in there.items())
    files = f"no files of the form {pattern} but {', '.join(names[:5]) or 'nothing at all'}"
    return DataError(
        f"no {timeframe} candles of {symbol} in {folder} (as {pattern})",
        f"one of {told}" if told else files,
        _advice(symbol, timeframe, there),
    )


def _advice(symbol: str, timeframe: Timeframe, there: dict[str, list[str]]) -> str:
    """The nearest thing that would work."""
    finer = [Timeframe.parse(name) for name in there.get(symbol, [])]
    finer = [f for f in finer if f < timeframe and timeframe.duration_ms % f.duration_ms == 0]
    if finer:
        return (
            f"build {timeframe} from {max(finer)}: `streams.<name>.from: <the {max(finer)} stream>`"
        )
    if symbol in there:
        return f"add a file of {timeframe} candles, or ask for another timeframe"
    return (
        f"check the symbol{nearest(symbol, list(there))} and data.path; other names: data.pattern"
    )


def check_one_symbol(path: Path, symbol: str | None, wanted: Iterable[str]) -> None:
    """One file holds one symbol: the one that is said, or that its name tells, or any.

    Raises:
        DataError: another symbol is wanted, or several are.
    """
    symbols = sorted(set(wanted))
    if len(symbols) > 1:
        raise DataError(
            f"{path} is one file, and {', '.join(symbols)} are wanted of it",
            "one symbol a file",
            "name a folder with files such as ETHUSDT_1m.parquet, or use one symbol",
        )
    said = symbol or symbol_of(path)
    if said and symbols and not _is_symbol(said.lower(), symbols[0].lower()):
        source = "data.symbol says" if symbol else "its name says"
        raise DataError(
            f"{path} holds {said} ({source} so), and {symbols[0]} is wanted",
            f"symbol {said}",
            f"use {said} in the config, or rename the file if its name is wrong",
        )


def _is_symbol(said: str, wanted: str) -> bool:
    """The same symbol, perhaps with the exchange before it: ``bybit_linear_ETHUSDT``."""
    return said == wanted or said.endswith(f"_{wanted}")


def nothing_there(
    place: Path, symbol: str, timeframe: Timeframe, wanted: str, there: str
) -> DataError:
    """No candle in the wanted time: say what is there."""
    return DataError(
        f"{place}: no {timeframe} candles of {symbol} from {wanted}",
        f"candles of that time; there are those from {there}",
        "change decisions.start and decisions.end, or add files of that time",
    )
