"""The main job: from a config to a trained, evaluated, watchable model.

The whole run, top to bottom. Loading, learning and measuring live in their own folders; this page
only says in which order they happen and what is kept.
"""

from __future__ import annotations

if __name__ == "__main__":  # first, so that a line appears before torch is imported
    import sys

    from mtf.cli import main as cli

    cli(["train", *sys.argv[1:]])

import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

from mtf.backtest import after_training, write
from mtf.config.load import load_config
from mtf.config.schema import Config
from mtf.environment import check_data, environment
from mtf.errors import CheckpointError, ConfigError, MtfError
from mtf.evaluation.part import evaluate_part_of, prior_scores
from mtf.learning.checkpoint import Checkpoint, clear_leftovers, is_untouched, read_newest
from mtf.learning.finish import take_best
from mtf.learning.fit import Fitting
from mtf.learning.launch import follow, leads, together
from mtf.learning.log import Log
from mtf.learning.saved_state import State
from mtf.learning.task import Task, prepare
from mtf.report.attention import keep_attention
from mtf.report.data import data_report, print_data
from mtf.report.progress import progress
from mtf.report.tensorboard import TensorBoard
from mtf.report.terminal import Terminal
from mtf.run import Run, create_run, keep, keep_calibration, load
from mtf.run_folder import clear_unfinished, locked


def train(config: Config, terminal: Terminal | None = None) -> Run:
    """Train, evaluate and record one run.

    Args:
        config: of the run.
        terminal: where to print; None = the standard output.

    Raises:
        MtfError: config, data or disk can't be used. Nothing is written before the data were read.
        KeyboardInterrupt: with the run's folder once there is one; the run can be resumed.
    """
    if not leads(config):
        raise ConfigError(
            "this process was started by torchrun or the like, and is not the one that leads",
            "mtf train CONFIG in every process",
            "start python -m mtf.train there, or call mtf.fit in one process and leave that to it",
        )
    terminal = terminal or Terminal()
    task = prepare(config)
    print_data(task, terminal.console)
    files = {"environment": environment(task), "data": data_report(task)}
    run = create_run(config, files)
    with _stops_naming(run), locked(run.path):
        return learn(run, task, terminal)


def go_on(run: Run, terminal: Terminal | None = None) -> Run:
    """Go on with a run that was interrupted, as if it had not been.

    Raises:
        MtfError: no sound checkpoint, the candles are not those of the run, or another process
            is training it.
    """
    terminal = terminal or Terminal()
    with _stops_naming(run), locked(run.path):
        clear_leftovers(run.checkpoints)
        clear_unfinished(run.path)
        for note in run.notes:
            terminal.line(f"note: {note}")
        checkpoint = last_checkpoint(run)
        task = prepare(run.config)
        check_data(run.path, task)
        if checkpoint is None:
            terminal.line(f"no checkpoint yet in {run.path}: starting at step 0")
        return learn(run, task, terminal, checkpoint)


def last_checkpoint(run: Run) -> Checkpoint | None:
    """Where to go on from; None where a run was stopped before its very first checkpoint.

    Raises:
        CheckpointError: there were checkpoints, and none of them is sound.
    """
    if is_untouched(run.checkpoints) and not (run.path / "metrics.json").exists():
        return None
    return read_newest(run.checkpoints, "last")


def learn(run: Run, task: Task, terminal: Terminal, checkpoint: Checkpoint | None = None) -> Run:
    """Fit, evaluate with the best weights, record; go on from a checkpoint where one is given."""
    done_before = State.of(checkpoint).step if checkpoint else None
    with closing(TensorBoard(run.tensorboard, done_before)) as log:
        with together(task) as of_all:
            fitting = start(run, of_all, terminal, log, checkpoint)
            state = fitting.run()
        best = take_best(task, run.checkpoints, state.step)
        terminal.passed_over(best.rejected)
        speed = {"train": state.samples / max(state.seconds, 1e-9)}
        done = evaluate_part_of(task, samples_per_second=speed)
        keep(run, done)
        keep_attention(task, run.path, log, state.step)
        log.hparams(task.config.model_dump(mode="json", by_alias=True), done.results.headline())
        terminal.results(done.results)
        before = keep_calibration(run, task)
        after_training(run, task.source, done.said, before, terminal)
        write(run, log, state.step)
        terminal.line(str(run.path))
    return run


def start(
    run: Run, task: Task, terminal: Terminal, log: Log, checkpoint: Checkpoint | None
) -> Fitting:
    """The training loop at its first step, or where the checkpoint left it."""
    training = task.config.training
    steps = training.epochs * training.sampling.steps_per_epoch
    done = State.of(checkpoint).epoch if checkpoint else 0
    bar = progress(steps, training.epochs, terminal.console, prior_scores(task), done)
    fitting = task.fitting(log, bar, run.checkpoints)
    terminal.line(f"run folder {run.path}")
    fitting.begin(checkpoint)
    if checkpoint is None:
        fitting.save("last")  # from here on there is always one to go on from
        return fitting
    terminal.passed_over(checkpoint.rejected)
    terminal.line(f"going on from {checkpoint.path} (step {fitting.state.step} of {steps})")
    return fitting


def main(
    config: str, overrides: Sequence[str], *, resume: str | None = None, trust: bool = False
) -> None:
    """``mtf train CONFIG [key=value …]`` or ``mtf train --resume RUN``."""
    try:
        run = None if resume is None else load(resume, trust_plugins=trust)
        wanted = load_config(config, overrides) if run is None else run.config
        if not leads(wanted):
            follow(wanted)
        elif run is None:
            train(wanted)
        else:
            go_on(run)
    except KeyboardInterrupt as interrupt:
        raise _interrupted(*map(str, interrupt.args)) from None


@contextmanager
def _stops_naming(run: Run) -> Iterator[None]:
    """Ctrl-C and a disk that refuses say which run they stopped, as it can be gone on with."""
    hook = threading.excepthook
    threading.excepthook = lambda thread: _without_refusals(hook, thread)
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(run.path) from None
    except BrokenPipeError:  # of the output, not of the run
        raise
    except OSError as error:
        raise CheckpointError(
            f"could not write in {run.path}: {error.strerror or error}",
            "a writable folder with room for it",
            f"free space or fix the permissions, then {_resume(str(run.path))}",
        ) from error
    finally:
        threading.excepthook = hook


def _without_refusals(
    hook: Callable[[threading.ExceptHookArgs], object], thread: threading.ExceptHookArgs
) -> None:
    """TensorBoard's thread raises again in ours what it met on the disk: no need to print it."""
    if not issubclass(thread.exc_type, OSError):
        hook(thread)


def _interrupted(folder: str = "") -> MtfError:
    """What to do after Ctrl-C."""
    if not folder:
        return MtfError("interrupted before the first step", todo="start the run again")
    return MtfError(f"interrupted; what was learned is in {folder}", todo=_resume(folder))


def _resume(folder: str) -> str:
    """The command that goes on with a run."""
    return f"go on with mtf train --resume {shlex.quote(folder)}"
