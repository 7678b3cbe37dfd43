"""What a worker does: train one trial, or one of its folds, and measure its validation part.

It trains as ``mtf train`` does, with one thread, in a folder of its own, and stops there: the test
part is neither asked nor looked at. Killed anywhere, it goes on from its last checkpoint bit for
bit; done, it is not done again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from mtf.config.load import resolved
from mtf.config.schema import Config
from mtf.environment import check_data, environment
from mtf.errors import CheckpointError, ConfigError, MtfError
from mtf.evaluation.trial import Trial, config_hash, market_of
from mtf.learning.checkpoint import clear_leftovers, is_untouched, read_newest
from mtf.learning.disk import replace_synced
from mtf.learning.finish import take_best
from mtf.learning.fit import Fitting
from mtf.learning.folds import folds
from mtf.learning.json_files import read_json, write_json
from mtf.learning.log import Quiet
from mtf.learning.saved_state import State
from mtf.learning.splits import Part, split
from mtf.learning.task import Task, prepare
from mtf.plugins.files import load_files
from mtf.plugins.registry import did_you_mean
from mtf.searching.job import PROGRESS, Job, Outcome, as_json, from_json, outcome_of


def work(job: Job) -> Outcome:
    """Do a job, from where it was left; what goes wrong is told in the outcome."""
    os.chdir(job.home)  # of a worker that another machine started
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
        with _alone(job.folder):
            return outcome_of(job.folder) or _trained(job)
    except MtfError as error:
        return Outcome(wrong=str(error))
    except Exception as error:  # of a plug-in, say: the other trials go on
        return Outcome(wrong=f"{type(error).__name__}: {error}")


class Epochs(Quiet):
    """Notes the metric after every epoch, on the disk, and ends a training that falls behind.

    Args:
        job: whose training it is.
        values: of the epochs before.
        starts: how often the training was started.
    """

    def __init__(self, job: Job, values: list[float], starts: int) -> None:
        """Write down at once that the training was started, and by whom."""
        self.job, self.values, self.starts = job, values, starts
        self.fitting: Fitting | None = None
        self._write()

    def epoch(self, epoch: int, step: int, figures: Mapping[str, float]) -> None:
        """Note the metric; a checkpoint that knows of this epoch is written after it."""
        metric = self.job.goal.metric
        if metric not in figures:
            near = did_you_mean(metric, tuple(figures)) or "mend `metric:`"
            raise ConfigError(f"metric: found {metric!r}", f"one of {', '.join(figures)}", near)
        self.values.append(float(figures[metric]))
        self._write()
        if self.job.goal.behind(self.values) and self.fitting is not None:
            self.fitting.state.finished = True

    def _write(self) -> None:
        content = {"schema": 1, "pid": os.getpid(), "host": socket.gethostname()}
        told = {"starts": self.starts, "values": as_json(self.values)}
        write_json(self.job.folder / PROGRESS, {**content, **told})


def _trained(job: Job) -> Outcome:
    """Train to the end, and leave result.json."""
    began = time.perf_counter()
    config = job.config
    fabric = config.fabric.model_copy(update={"threads": 1})  # as many side by side as wanted
    config = config.model_copy(update={"fabric": fabric})
    plugin_files = load_files(config.plugins)  # a fresh process does not know them
    parts = parts_of(config, job.fold)
    task = prepare(config, parts)
    _describe(job.folder, task)
    epochs, state, resumed = _fitted(job, task)
    checkpoints = job.folder / "checkpoints"
    pruned = job.goal.behind(epochs.values) and state.epoch < config.training.epochs
    if not pruned:
        take_best(task, checkpoints, state.step)
    done = Outcome(
        values=epochs.values,
        kept=state.best_epoch,
        pruned=pruned,
        starts=epochs.starts,
        resumed=resumed,
        seconds=time.perf_counter() - began,
        record=_record(job, task, plugin_files, epochs.values[state.best_epoch]).as_dict(),
    )
    done.save(job.folder)
    for path in checkpoints.glob("last-*"):  # nothing is left to go on with
        shutil.rmtree(path, ignore_errors=True)
    return done


def parts_of(config: Config, fold: int | None) -> dict[str, Part]:
    """The parts of a trial, or of a fold of it that ends before the test part begins."""
    span, clock = (config.decisions.start_ms, config.decisions.end_ms), config.decisions.clock
    parts = split(*span, config.split.model_dump(), clock)
    if fold is None:
        return parts
    before_test = span[0], parts["test"].start_ms
    return folds(*before_test, config.walk_forward, clock)[fold - 1]


def _describe(folder: Path, task: Task) -> None:
    """Make the folder a run's, by its config and what it is made with.

    Raises:
        CheckpointError: the candles are not those that the training began with.
    """
    if (folder / "environment.json").is_file():
        check_data(folder, task)
        return
    replace_synced(folder / "config.yaml", resolved(task.config).encode())
    write_json(folder / "environment.json", environment(task))


def _fitted(job: Job, task: Task) -> tuple[Epochs, State, int]:
    """Train to the end, or until it is given up; also the step from which it was gone on with."""
    values, starts = _progress(job.folder)
    epochs = Epochs(job, values, starts + 1)
    fitting = epochs.fitting = _fitting(task, epochs, job.folder / "checkpoints")
    del epochs.values[fitting.state.epoch :]  # noted, and killed before the checkpoint
    resumed = fitting.state.step
    return epochs, fitting.run(), resumed


def _fitting(task: Task, epochs: Epochs, checkpoints: Path) -> Fitting:
    """The loop where its last checkpoint left it, or else at its first step."""
    checkpoints.mkdir(exist_ok=True)
    clear_leftovers(checkpoints)
    fitting = task.fitting(Quiet(), epochs, checkpoints)
    if is_untouched(checkpoints):
        return fitting
    with suppress(CheckpointError):
        fitting.restore(read_newest(checkpoints, "last"))
        if len(epochs.values) >= fitting.state.epoch:
            return fitting
    shutil.rmtree(checkpoints)  # from the start it comes to the same, only later
    return _fitting(prepare(task.config, task.parts, task), epochs, checkpoints)


def _progress(folder: Path) -> tuple[list[float], int]:
    """Values of the epochs so far, and how often the training was started."""
    if not (folder / PROGRESS).is_file():
        return [], 0
    told = read_json(folder / PROGRESS)
    try:
        return from_json(told["values"]), int(told["starts"])
    except (LookupError, TypeError, ValueError):
        return [], 0


def _record(job: Job, task: Task, plugin_files: Mapping[str, str], value: float) -> Trial:
    """The trial for the ledger.

    Its span reaches from the validation part, where it was compared, to the end of all decisions:
    what is chosen by the comparison is judged there, and counts it among what was tried.
    """
    config = task.config
    return Trial(
        kind="train",
        run=str(job.folder if job.fold is None else job.folder.parent),
        name=config.name,
        config_hash=config_hash(config, plugin_files),
        data_hash=task.fingerprint,
        market=market_of(config, task.source),
        symbols=tuple(task.panel.builders),
        seed=config.seed,
        part="validation",
        start_ms=task.parts["validation"].start_ms,
        end_ms=config.decisions.end_ms,
        figures={f"validation_{job.goal.metric}": value},
    )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Within the block no other worker is at this training.

    One that outlived the sweep that started it is waited for. A file system without locks goes
    without.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


__all__ = ["Epochs", "parts_of", "work"]
