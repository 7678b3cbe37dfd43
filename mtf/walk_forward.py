"""A walk-forward from a config to its folder: train along time, pool what is out of sample, keep.

Its folder, ``runs/<name>-walk-forward/<time>/``, has config.yaml, environment.json and data.json as
a run's has, ``folds/`` with a folder for every training and for the baselines of every fold,
metrics.json, and the predictions over all folds in one piece: ``predictions.parquet`` of all seeds
together, ``predictions_seed0.parquet`` and so on of each; the backtest of all together and
report.html, as of a run. ``calibration.parquet`` is of the first fold, before all that. Whatever
stops it, it goes on with what is whole.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from mtf.backtest import after_training, write
from mtf.config.schema import Config
from mtf.environment import check_data, environment
from mtf.errors import CheckpointError, MtfError
from mtf.evaluation.fold import Worker
from mtf.evaluation.ledger import FOLDER
from mtf.evaluation.out_of_sample import OutOfSample
from mtf.evaluation.processes import each_done
from mtf.evaluation.walk import Job, Walk, folds_of
from mtf.learning.json_files import write_json
from mtf.learning.task import Task, prepare
from mtf.market.times import iso
from mtf.model.build import build_heads
from mtf.predictions import save_all
from mtf.report.data import data_report, print_data
from mtf.report.terminal import Terminal
from mtf.report.walk_forward import print_walk_forward
from mtf.run import CALIBRATION, RUNS, Run, create_run, load
from mtf.run_folder import clear_unfinished, locked

SUFFIX = "-walk-forward"
MOST_NAME = 60
"""Letters of a run's name."""


def walk_forward(config: Config, processes: int = 1, terminal: Terminal | None = None) -> Run:
    """Train a config along time, fold by fold and seed by seed, and measure all test blocks.

    Args:
        config: of the trainings; ``walk_forward`` says how they lie in time.
        processes: trainings side by side on this machine; each takes one thread.
        terminal: where to print; None = the standard output.

    Returns:
        The folder, with metrics and predictions.

    Raises:
        MtfError: config or data can't be used, a training failed (after all others are done), or
            Ctrl-C; the message says how to go on.
    """
    terminal = terminal or Terminal()
    task = prepare(config, folds_of(config)[0])
    terminal.line("candles, and the parts of the first fold:")
    print_data(task, terminal.console)
    files = {"environment": environment(task), "data": data_report(task)}
    run = create_run(named(config), files)
    run.checkpoints.rmdir()  # every training has its own: none may seem to start here
    with _stops_naming(run), locked(run.path):
        terminal.line(f"walk-forward folder {run.path}")
        return _walk(run, task, processes, terminal)


def go_on(run: Run, processes: int = 1, terminal: Terminal | None = None) -> Run:
    """Go on with a walk-forward that was stopped: what is whole is kept.

    Args:
        run: its folder.
        processes: as of ``walk_forward``.
        terminal: where to print; None = the standard output.

    Raises:
        MtfError: as ``walk_forward``; or the candles are not those that it began with.
    """
    terminal = terminal or Terminal()
    with _stops_naming(run), locked(run.path):
        clear_unfinished(run.path)
        for note in run.notes:
            terminal.line(f"note: {note}")
        task = prepare(run.config, folds_of(run.config)[0])
        check_data(run.path, task)
        return _walk(run, task, processes, terminal)


def find(name: str, trust_plugins: bool = False) -> Run:
    """The walk-forward that a folder, its name, or the name of its config means.

    Raises:
        MtfError: there is none, or the folder is a run's.
    """
    is_name = not Path(name).is_dir() and not name.endswith(SUFFIX)
    run = load(_kept_by(name) if is_name else name, trust_plugins=trust_plugins)
    if not run.config.name.endswith(SUFFIX):
        raise CheckpointError(
            f"{run.path} is a run, no walk-forward",
            f"a folder of {RUNS}/<name>{SUFFIX}/",
            "go on with a run by mtf train --resume, or start mtf evaluate CONFIG --walk-forward",
        )
    return run


def named(config: Config) -> Config:
    """The config under the name of its walk-forwards, beside which its runs keep their own."""
    return config.model_copy(update={"name": _kept_by(config.name)})


def _kept_by(name: str) -> str:
    return name.removesuffix(SUFFIX)[: MOST_NAME - len(SUFFIX)] + SUFFIX


def _walk(run: Run, task: Task, processes: int, terminal: Terminal) -> Run:
    """Do what is not done, then pool, print and keep."""
    walk = Walk(run.config, run.path / "folds", task.fingerprint, RUNS / FOLDER)
    if failed := _failures(walk, task, processes, terminal):
        raise _failed(run, failed, len(walk.jobs()))
    config = run.config
    heads = build_heads(config, config.stream_specs(), config.decisions.clock)
    found = OutOfSample(walk, heads)
    results = found.results()
    print_walk_forward(results, terminal)
    said, before = found.predictions(), found.before()
    save_all(said, run.path / "predictions.parquet")
    for seed in walk.seeds:
        save_all(found.predictions(seed), run.path / f"predictions_seed{seed}.parquet")
    if before:
        save_all(before, run.path / CALIBRATION)
    write_json(run.path / "metrics.json", results.as_dict())
    after_training(run, task.source, said, before, terminal, "walk_forward")
    write(run)
    terminal.line(str(run.path))
    return run


def _failures(walk: Walk, task: Task, processes: int, terminal: Terminal) -> dict[Job, str]:
    """Do all jobs that are not done; those that could not be, with the reason."""
    jobs = walk.jobs()
    waiting = [job for job in jobs if not walk.is_done(job)]
    done, failed = len(jobs) - len(waiting), dict[Job, str]()
    terminal.line(_plan(walk))
    if done:
        terminal.line(f"{done} of {len(jobs)} are done already")
    make = partial(Worker, walk, task if processes == 1 else None)
    for job, wrong in each_done(make, waiting, processes):
        if wrong is None:
            wrong = "its process was ended from outside, as a system without memory does"
        if wrong:
            failed[job] = wrong
            terminal.line(f"{job}: failed: {wrong}")
            continue
        done += 1
        terminal.line(f"{job}: {_told(walk, job)} ({done} of {len(jobs)})")
    return failed


def _plan(walk: Walk) -> str:
    """Folds, seeds and dates in a line."""
    folds, plan = walk.folds(), walk.config.walk_forward
    first, last = folds[0]["test"].start_ms, folds[-1]["test"].end_ms
    seeds = f"{len(walk.seeds)} seeds" if len(walk.seeds) > 1 else "one seed"
    count = f"{len(folds)} folds" if len(folds) > 1 else "one fold"
    return f"{count} ({plan.window}) with {seeds}; test blocks from {iso(first)} to {iso(last)}"


def _told(walk: Walk, job: Job) -> str:
    """A few words on a job that is done."""
    facts = walk.facts(job)
    took = f"{facts['seconds']:.0f} s"
    if job.seed is None:
        return took
    best = facts["history"][facts["best_epoch"] - 1]["validation"]
    return f"validation loss {best:.4f} in epoch {facts['best_epoch']} of {facts['epochs']}, {took}"


def _failed(run: Run, failed: dict[Job, str], count: int) -> MtfError:
    """The error for jobs that could not be done, all of which are named.

    Figures are of all folds, or of none: those that fail might be the hard ones.
    """
    by_fold = sorted(failed.items(), key=lambda item: item[0].name)
    told = "\n  ".join(f"{job}: {wrong.splitlines()[0]}" for job, wrong in by_fold)
    return MtfError(
        f"{len(failed)} of {count} could not be done, so there are no figures:\n  {told}",
        todo=f"mend that, then {_resume(run)}; all others are kept",
    )


@contextmanager
def _stops_naming(run: Run) -> Iterator[None]:
    """Ctrl-C and a disk that refuses say how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise MtfError(
            f"interrupted; what is whole stays in {run.path}", todo=_resume(run)
        ) from None
    except BrokenPipeError:  # of the output, not of the disk
        raise
    except OSError as error:
        raise CheckpointError(
            f"could not write in {run.path}: {error.strerror or error}",
            "a writable folder with room for it",
            f"free space or fix the permissions, then {_resume(run)}",
        ) from error


def _resume(run: Run) -> str:
    """The command that goes on."""
    return f"go on with mtf evaluate {shlex.quote(str(run.path))} --walk-forward --resume"


__all__ = ["go_on", "named", "walk_forward"]
