"""``mtf live`` as a process of its own against a stand-in here, watched while faults come."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from living import ALLOWED, measure

from mtf.realtime.sandbox.faults import Fault
from mtf.realtime.sandbox.server import Sandbox
from mtf.run import Run

PATIENCE_S = 120.0
KEY, SECRET = "k7Qp2vXw9ZsB4nLd", "s3cR8tYfH1mJ6uKeA5gW"
"""Of the environment; public data need none, so they are to be seen nowhere."""


@dataclass
class Watched:
    """What a process used, sample by sample.

    Attributes:
        resident: bytes.
        threads: how many.
        files: open handles of all but sockets.
        sockets: open ones.
    """

    resident: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    sockets: list[int] = field(default_factory=list)

    def look(self, pid: int) -> None:
        """Take a sample; nothing where the process has ended."""
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            threads = len(os.listdir(f"/proc/{pid}/task"))
            handles = [_meaning(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
        except (OSError, IndexError):
            return
        self.resident.append(pages * os.sysconf("SC_PAGE_SIZE"))
        self.threads.append(threads)
        self.files.append(sum(bool(one) and not one.startswith("socket:") for one in handles))
        self.sockets.append(sum(one.startswith("socket:") for one in handles))


def _meaning(handle: Path) -> str:
    """What a handle is of; nothing where it was closed meanwhile."""
    try:
        return os.readlink(handle)
    except FileNotFoundError:
        return ""


class Process:
    """``mtf live`` as a user starts it.

    Args:
        run: that decides.
        sandbox: that it speaks to.
        options: further ones.
    """

    def __init__(self, run: Run, sandbox: Sandbox, *options: str) -> None:
        self.log = run.path / f"live-{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "mtf.live", str(run.path), "--endpoint", sandbox.url]
        speed = ["--speed", str(sandbox.clock.speed)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *speed, "--plain", *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "OMP_NUM_THREADS": "1",
                    "BYBIT_API_KEY": KEY,
                    "BYBIT_API_SECRET": SECRET,
                },
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def text(self) -> str:
        """All that it printed."""
        return self.log.read_text()

    @property
    def over(self) -> bool:
        return self.process.poll() is not None

    def wait_for(self, words: str, count: int = 1) -> None:
        """Until something was printed so often."""
        end = time.monotonic() + PATIENCE_S
        while self.text.count(words) < count:
            if self.over or time.monotonic() > end:
                raise AssertionError(f"no {words!r} × {count} in:\n{self.text[-3_000:]}")
            time.sleep(0.05)

    def end(self) -> str:
        """Until it ends by itself, well."""
        code = self.process.wait(PATIENCE_S)
        assert code == 0, self.text[-3_000:]
        return self.text

    def kill(self) -> None:
        """As the machine would."""
        self.process.kill()
        self.process.wait(PATIENCE_S)


@contextmanager
def living_process(run: Run, sandbox: Sandbox, *options: str) -> Iterator[Process]:
    """A process that is not left behind."""
    process = Process(run, sandbox, *options)
    try:
        yield process
    finally:
        if not process.over:
            process.kill()


def check_no_secret(run: Run) -> None:
    """Neither logs, journals nor recordings hold a key: nothing of the run's folder does."""
    for path in run.path.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        for word in (KEY, SECRET):
            assert word.encode() not in content, path


def allow_everything(run: Run) -> None:
    """A table in which every set of streams is worth something."""
    specs = run.config.stream_specs()
    sets = [
        tuple(spec.name for spec in chosen)
        for size in range(1, len(specs) + 1)
        for chosen in combinations(specs, size)
    ]
    measure(run, dict.fromkeys(sets, ALLOWED))


def session_of(run: Run) -> Path:
    """The folder of its only session."""
    (folder,) = (path.parent for path in (run.path / "live").glob("*/session.json"))
    return folder


def random_fault(rng: random.Random, symbols: Sequence[str]) -> Fault:
    """Something that goes wrong on the way: with the connection, a frame, or an answer."""
    often = ("drop", "close", "bad_frame", "unknown_frame", "twice", "late", "lose", "stall")
    seldom = (
        *("http_500", "http_502", "http_429", "reset", "cut", "html", "code_10006", "code_10016"),
        *("refuse_handshake", "downtime"),
    )
    # Answers are asked for after a loss alone: faults of theirs would only queue up.
    kind = rng.choice(often if rng.random() < 0.75 else seldom)
    if kind in ("http_500", "http_502", "http_429", "reset", "cut", "html") or kind[:4] == "code":
        return Fault(kind, where="/v5/market/kline")
    topic = f"kline.*.{rng.choice(list(symbols))}"
    if kind == "stall":
        return Fault(kind, where=topic, lasts_ms=rng.choice([20_000, 60_000, 180_000]))
    if kind == "downtime":
        return Fault(kind, lasts_ms=rng.choice([5_000, 30_000]))
    if kind == "refuse_handshake":
        return Fault(kind)
    if kind in ("twice", "late", "lose"):
        return Fault(kind, where=topic + "*")
    return Fault(kind, where=topic)
