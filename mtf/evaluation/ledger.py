"""The trial ledger: every training, backtest and look at the test part, one small file a record.

A record is a JSON file in one folder, ``runs/ledger``, with a name that nobody else gives: written
beside, synced, renamed. So there are no locks; any number of processes may write at once; one that
is killed leaves all records before it whole, and at most a hidden file that is no record. Reading
skips what is no record and says so: a damaged ledger is not a reason to stop a run, and not one to
forget a trial either. Nothing is ever changed or removed here. What the records mean stands in
``standing``.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from mtf.errors import CheckpointError
from mtf.evaluation.trial import Trial, trial_of
from mtf.learning.disk import MAX_JSON, parse_json, read_bounded, replace_synced

FOLDER = "ledger"
"""Name of the folder within ``runs/``: its files are no run folders, so no run is mistaken."""


@dataclass(frozen=True)
class Records:
    """What a ledger holds.

    Attributes:
        trials: all records that could be read, the oldest first.
        passed_over: files that are no records, each with the reason.
    """

    trials: tuple[Trial, ...]
    passed_over: tuple[str, ...]


class Ledger:
    """The records of a folder.

    Args:
        folder: such as ``runs/ledger``; made when the first record is written.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is read or written yet."""
        self.folder = folder

    def record(self, trial: Trial) -> Path:
        """Write a trial down; it is on the disk when this returns.

        Returns:
            The record's file.

        Raises:
            CheckpointError: the disk refuses.
        """
        now = datetime.now(UTC)
        stamp = now.strftime("%Y-%m-%dT%H-%M-%S.%fZ")
        path = self.folder / f"{stamp}-{trial.kind}-{os.getpid()}-{secrets.token_hex(6)}.json"
        text = _text(replace(trial, time=now.isoformat(timespec="milliseconds")))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_synced(path, text.encode())
        except OSError as error:
            raise CheckpointError(
                f"could not write a trial in {self.folder}: {error.strerror or error}",
                "a writable folder with room for it: figures count only beside all trials",
                "free space or fix the permissions, then do it again",
            ) from error
        return path

    def read(self) -> Records:
        """All records, the oldest first, and what was passed over.

        Raises:
            CheckpointError: the folder is there, but can't be read.
        """
        trials, passed_over = [], []
        for path in self._files():
            try:
                trials.append(trial_of(parse_json(read_bounded(path, MAX_JSON))))
            except OSError as error:
                passed_over.append(f"{path}: {error.strerror or error}")
            except ValueError as error:
                passed_over.append(f"{path}: {error}")
        trials.sort(key=lambda one: one.time)
        return Records(tuple(trials), tuple(passed_over))

    def trials(
        self,
        *,
        data_hash: str | None = None,
        market: str | None = None,
        symbol: str | None = None,
        part: str | None = None,
        span_ms: tuple[int, int] | None = None,
    ) -> list[Trial]:
        """The records that fit everything that is given, the oldest first.

        Args:
            data_hash: fingerprint of the candles.
            market: see ``mtf.evaluation.trial.market_of``.
            symbol: one of those of the record.
            part: of the data.
            span_ms: start and end in ms UTC; the record's part overlaps with it.
        """
        return [
            one
            for one in self.read().trials
            if data_hash in (None, one.data_hash)
            and market in (None, one.market)
            and (symbol is None or symbol in one.symbols)
            and part in (None, one.part)
            and (span_ms is None or (one.start_ms < span_ms[1] and span_ms[0] < one.end_ms))
        ]

    def _files(self) -> Iterator[Path]:
        """Everything in the folder that should be a record, by name, which begins with the time.

        Hidden files are records in the making, or what a kill has left of them. A folder belongs to
        a run that is called as the ledger is.
        """
        try:
            found = sorted(self.folder.iterdir()) if self.folder.exists() else []
        except OSError as error:
            raise CheckpointError(
                f"the trial ledger {self.folder} can't be read: {error.strerror or error}",
                "a folder of JSON files",
                "fix its permissions, or move away what has its name",
            ) from error
        yield from (path for path in found if path.name[0] != "." and not path.is_dir())


def _text(trial: Trial) -> str:
    """A record as its file has it: a line a key, so that a person can read it."""
    items = trial.as_dict().items()
    lines = [f" {json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in items]
    return "{\n" + ",\n".join(lines) + "\n}\n"
