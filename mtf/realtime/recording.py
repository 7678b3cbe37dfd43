"""Messages as they came, in a file: a line of JSON each, from which a session can be told again.

A line is written and handed to the system before the message is acted upon, so a kill loses none
that had an effect. What a kill may leave is the beginning of one last line.
"""

from __future__ import annotations

import gzip
import io
import json
import logging
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, get_args, runtime_checkable

from mtf.errors import DataError
from mtf.realtime.events import Message, MessageKind
from mtf.realtime.lines_file import LinesFile

LOG = logging.getLogger(__name__)
KINDS = get_args(MessageKind)
PARTS: Mapping[str, Mapping[str, type]] = {
    "frame": {"text": str},
    "answer": {"ask": str, "symbol": str, "start_ms": int, "end_ms": int},
    "state": {"state": str},
    "clock": {"offset_ms": int},
    "session": {"what": str},
}
"""What the content of a message must have."""
ASKS = ("candles", "trades", "funding")
STATES = ("open", "lost", "refused", "failed")
MOST_BYTES = 64 << 20
"""Of one line; an answer of a thousand rows has some 100 kB."""

Packed = io.BufferedReader | gzip.GzipFile
"""A file to be read, packed or plain."""


@runtime_checkable
class Writer(Protocol):
    """Whatever takes messages to keep them."""

    def write(self, message: Message) -> None:
        """Keep a message."""

    def close(self) -> None:
        """Keep what is not kept yet."""


class Recorder:
    """Appends messages to a file.

    Args:
        path: ending in ``.jsonl``; its folder is made. A torn last line is cut off first.

    Raises:
        DataError: another name; the disk refuses.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the file."""
        self.path = Path(path)
        if self.path.suffix != ".jsonl":
            raise DataError(f"can't record into {self.path}", "a name that ends in .jsonl")
        self._file = LinesFile(self.path)

    def __enter__(self) -> Recorder:
        """The recorder itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def write(self, message: Message) -> None:
        """Append a message; afterwards a kill can't lose it.

        Raises:
            DataError: the disk refuses.
        """
        content = {"at_ms": message.at_ms, "kind": message.kind, "content": dict(message.content)}
        self._file.append(json.dumps(content, separators=(",", ":")).encode())

    def close(self) -> None:
        """Make it durable, and close the file."""
        self._file.close()


class Together:
    """Several writers as one."""

    def __init__(self, *writers: Writer) -> None:
        """Remember them."""
        self.writers = writers

    def write(self, message: Message) -> None:
        """Hand a message to each."""
        for writer in self.writers:
            writer.write(message)

    def close(self) -> None:
        """Close each, even where another one fails."""
        with ExitStack() as stack:
            for writer in reversed(self.writers):
                stack.callback(writer.close)


def read_recording(path: str | Path) -> Iterator[Message]:
    """The messages of a recording, one by one.

    A torn last line, as a kill leaves it, is left out, with a warning.

    Args:
        path: ending in ``.jsonl`` or ``.jsonl.gz``.

    Raises:
        DataError: no such file, or damage, with the number of the line.
    """
    path, number = Path(path), 0
    if not path.is_file():
        raise DataError(f"no file {path}", "a recording of mtf live")
    try:
        with _opened(path) as file:
            for number, line in enumerate(_lines(file), 1):
                if not line.endswith(b"\n"):
                    if len(line) > MOST_BYTES:
                        raise _damaged(path, number, "a line without end")
                    LOG.warning("%s: the last line (%d) is not complete: left out", path, number)
                    return
                yield _message(line, path, number)
    except EOFError:
        LOG.warning("%s: ends in the middle of line %d or later: the rest is lost", path, number)
    except (OSError, zlib.error) as error:
        raise _damaged(path, number + 1, str(error)) from None


def _opened(path: Path) -> Packed:
    """The file, unpacked."""
    if path.suffix == ".gz":
        return gzip.open(path, "rb")
    return path.open("rb")


def _lines(file: Packed) -> Iterator[bytes]:
    """Lines with their ends; what is too long for a line comes without one."""
    while line := file.readline(MOST_BYTES + 1):
        yield line


def _message(line: bytes, path: Path, number: int) -> Message:
    """The message of a line.

    Raises:
        DataError: it is none.
    """
    try:
        content: Any = json.loads(line)
        at_ms, kind, inner = content["at_ms"], content["kind"], content["content"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(path, number, f"{type(error).__name__}: {error}") from None
    if type(at_ms) is not int or kind not in KINDS or not isinstance(inner, dict):
        raise _damaged(path, number, "at_ms, kind or content can't be")
    if wrong := _wrong_parts(kind, inner):
        raise _damaged(path, number, f"{kind} with {', '.join(wrong)} missing, or what can't be")
    return Message(at_ms, kind, inner)


def _wrong_parts(kind: str, content: Mapping[str, Any]) -> list[str]:
    """Names of what a message lacks, or has otherwise."""
    wrong = [name for name, held in PARTS[kind].items() if type(content.get(name)) is not held]
    if kind == "state" and content.get("state") not in STATES:
        return ["state"]
    if kind == "answer":
        ask = content.get("ask")
        wrong += ["ask"] if "ask" not in wrong and ask not in ASKS else []
        wrong += ["rows"] if "rows" not in content else []
        if ask == "candles" and type(content.get("timeframe")) is not str:
            wrong.append("timeframe")
    return wrong


def _damaged(path: Path, number: int, words: str) -> DataError:
    """What is wrong, and where."""
    return DataError(
        f"{path} line {number} is no message: {words[:160]}",
        "a recording of mtf live: one message a line",
        "take another copy; the lines before this one are good",
    )
