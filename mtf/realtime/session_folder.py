"""Where a session lives: ``RUN/live/<time>/``, one process at a time.

The folder holds session.json (its terms), journal.jsonl, tensorboard/ and one recording of raw
messages for every process that took part: messages-1.jsonl, messages-2.jsonl, … Nothing in it
executes when it is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mtf.errors import DataError
from mtf.learning.disk import replace_synced, take_lock
from mtf.learning.json_files import json_text, read_json
from mtf.realtime.journal import read_journal
from mtf.realtime.terms import Terms

FOLDER, TERMS, JOURNAL = "live", "session.json", "journal.jsonl"
SCHEMA = 1
_RECORDING = re.compile(r"messages-(\d{1,6})\.jsonl(\.gz)?")


@dataclass(frozen=True)
class SessionFolder:
    """The files of one session.

    Attributes:
        path: the folder.
        terms: that it was begun with.
    """

    path: Path
    terms: Terms

    @property
    def journal(self) -> Path:
        """The journal, there or not."""
        return self.path / JOURNAL

    @property
    def tensorboard(self) -> Path:
        """Folder of the TensorBoard events."""
        return self.path / "tensorboard"

    @property
    def recordings(self) -> list[Path]:
        """The recordings in the order in which they were made."""
        found = self._recordings()
        return [found[number] for number in sorted(found)]

    @property
    def next_recording(self) -> Path:
        """Where the next process records: into no file of before."""
        return self.path / f"messages-{max(self._recordings(), default=0) + 1}.jsonl"

    def _recordings(self) -> dict[int, Path]:
        matches = ((_RECORDING.fullmatch(path.name), path) for path in self.path.iterdir())
        return {int(match[1]): path for match, path in matches if match}


def begin_session(run: Path, terms: Terms) -> SessionFolder:
    """A new session of a run.

    Raises:
        DataError: the folder can't be written.
    """
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%fZ")
    path = run / FOLDER / stamp
    try:
        path.mkdir(parents=True)
        replace_synced(path / TERMS, json_text({"schema": SCHEMA, **asdict(terms)}).encode())
    except OSError as error:
        raise _refused(path, error) from error
    return SessionFolder(path, terms)


def last_session(run: Path, symbol: str, signals_only: bool) -> SessionFolder | None:
    """The newest session of a symbol, on paper or not; None = there is none.

    One that never began to decide, such as of a start that was interrupted, hides no other.

    Raises:
        DataError: its terms or its journal can't be read.
    """
    found = [
        one
        for one in sessions_of(run)
        if (one.terms.symbol, one.terms.signals_only) == (symbol, signals_only)
    ]
    return next((one for one in found if _began(one)), found[0] if found else None)


def sessions_of(run: Path) -> list[SessionFolder]:
    """All sessions of a run, the newest first.

    Raises:
        DataError: terms that can't be read.
    """
    paths = sorted((run / FOLDER).glob(f"*Z/{TERMS}"), reverse=True)
    return [read_session(path.parent) for path in paths]


def _began(session: SessionFolder) -> bool:
    """Whether it has an account and decisions, or would have."""
    lines = read_journal(session.journal) if session.journal.exists() else iter(())
    return any(line["kind"] == "begin" for line in lines)


def read_session(path: Path) -> SessionFolder:
    """The session of a folder, or of a file in it.

    Raises:
        DataError: there is none, or its terms can't be read.
    """
    folder = path if path.is_dir() else path.parent
    recorded = path.is_dir() or (_RECORDING.fullmatch(path.name) and path.is_file())
    if not recorded or not (folder / TERMS).is_file():
        raise DataError(
            f"{path} is no session: no folder with {TERMS}, and no recording in one",
            f"a folder RUN/{FOLDER}/<time>, or a recording in one",
            "mtf live RUN makes one",
        )
    return SessionFolder(folder, _terms(folder / TERMS, read_json(folder / TERMS)))


@contextmanager
def one_process(run: Path) -> Iterator[None]:
    """Within the block no other process trades this run live; a kill lets go.

    Raises:
        DataError: another process does, or the folder can't be written.
    """
    path = run / FOLDER / ".lock"
    try:
        path.parent.mkdir(exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _refused(path.parent, error) from error
    try:
        if not take_lock(handle):
            raise DataError(
                f"{run} is live in another process",
                "one live process a run: they would share one account",
                "stop the other one first (Ctrl-C), or train another run",
            )
        yield
    finally:
        os.close(handle)


def _terms(path: Path, told: Mapping[str, Any]) -> Terms:
    """Terms as they were written.

    Raises:
        DataError: they were not written by this mtf.
    """
    try:
        if told["schema"] != SCHEMA:
            raise ValueError(f"schema {told['schema']}")
        return Terms(
            symbol=str(told["symbol"]),
            decision_delay_ms=int(told["decision_delay_ms"]),
            signals_only=bool(told["signals_only"]),
            funding_every_ms=int(told["funding_every_ms"]),
        )
    except (LookupError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} can't be read ({type(error).__name__}: {error})",
            f"the terms of a session, schema {SCHEMA}",
            "restore it, or begin another session with mtf live RUN --new",
        ) from None


def _refused(path: Path, error: OSError) -> DataError:
    return DataError(
        f"can't write {path}: {error.strerror or error}",
        "a writable folder with room for it",
        "free space or fix the permissions",
    )


__all__ = [
    "SessionFolder",
    "begin_session",
    "last_session",
    "one_process",
    "read_session",
    "sessions_of",
]
