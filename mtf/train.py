"""The main job: from a config to a trained, evaluated, watchable model.

The whole run, top to bottom. Loading, learning and measuring live in their own folders; this page
only says in which order they happen and what is kept.
"""

from __future__ import annotations

if __name__ == "__main__":  # first, so that a line appears before torch is imported
    import sys

    from mtf.cli import main as cli

    cli(["train", *sys.argv[1:]])

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from mtf.config.load import load_config
from mtf.config.schema import Config
from mtf.errors import MtfError
from mtf.evaluation.part import evaluate_part_of, prior_scores
from mtf.learning.checkpoint import Checkpoint, read_newest
from mtf.learning.fit import Fitting
from mtf.learning.log import Log
from mtf.learning.optimise import set_tensors
from mtf.learning.task import Task, prepare
from mtf.report.data import data_report, print_data
from mtf.report.progress import progress
from mtf.report.tensorboard import TensorBoard
from mtf.report.terminal import Terminal
from mtf.run import Run, check_data, create_run, environment, keep, load


def train(config: Config, terminal: Terminal | None = None) -> Run:
    """Train, evaluate and record one run.

    Args:
        config: of the run.
        terminal: where to print; None = the standard output.

    Raises:
        MtfError: config, data or disk can't be used. Nothing is written before the data were read.
        KeyboardInterrupt: with the run's folder, after a checkpoint was written.
    """
    terminal = terminal or Terminal()
    task = prepare(config)
    print_data(task, terminal.console)
    files = {"environment": environment(task), "data": data_report(task)}
    return learn(create_run(config, files), task, terminal)


def go_on(run: Run, terminal: Terminal | None = None) -> Run:
    """Go on with a run that was interrupted, as if it had not been.

    Raises:
        MtfError: no sound checkpoint, or the candles are not those of the run.
    """
    checkpoint = read_newest(run.checkpoints, "last")
    task = prepare(run.config)
    check_data(run, task)
    return learn(run, task, terminal or Terminal(), checkpoint)


def learn(run: Run, task: Task, terminal: Terminal, checkpoint: Checkpoint | None = None) -> Run:
    """Fit, evaluate with the best weights, record; go on from a checkpoint where one is given."""
    done_before = checkpoint.state["step"] if checkpoint else None
    with _interrupts_naming(run), closing(TensorBoard(run.tensorboard, done_before)) as log:
        fitting = start(run, task, terminal, log, checkpoint)
        terminal.line(f"run folder {run.path}")
        state = fitting.run()
        set_tensors(task.model, read_newest(run.checkpoints, "best").tensors["weights"])
        speed = {"train": state.samples / max(state.seconds, 1e-9)}
        done = evaluate_part_of(task, samples_per_second=speed)
        keep(run, done)
        log.hparams(task.config.model_dump(mode="json", by_alias=True), done.results.headline())
        terminal.results(done.results)
        terminal.line(str(run.path))
    return run


def start(
    run: Run, task: Task, terminal: Terminal, log: Log, checkpoint: Checkpoint | None
) -> Fitting:
    """The training loop at its first step, or where the checkpoint left it."""
    training = task.config.training
    steps = training.epochs * training.sampling.steps_per_epoch
    done = checkpoint.state["epoch"] if checkpoint else 0
    bar = progress(steps, training.epochs, terminal.console, prior_scores(task), done)
    fitting = task.fitting(log, bar, run.checkpoints)
    if checkpoint:
        for damaged in checkpoint.rejected:
            terminal.line(f"passed over: {damaged}")
        fitting.restore(checkpoint)
        terminal.line(f"going on from {checkpoint.path} (step {fitting.state.step} of {steps})")
    return fitting


def main(
    config: str, overrides: Sequence[str], *, resume: str | None = None, trust: bool = False
) -> None:
    """``mtf train CONFIG [key=value …]`` or ``mtf train --resume RUN``."""
    try:
        if resume is None:
            train(load_config(config, overrides))
        else:
            go_on(load(resume, trust_plugins=trust))
    except KeyboardInterrupt as interrupt:
        raise _interrupted(*map(str, interrupt.args)) from None


@contextmanager
def _interrupts_naming(run: Run) -> Iterator[None]:
    """Ctrl-C says which run it stopped, where there is something to go on with."""
    try:
        yield
    except KeyboardInterrupt:
        left = any(run.checkpoints.glob("last-*"))
        raise KeyboardInterrupt(*([run.path] if left else [])) from None


def _interrupted(folder: str = "") -> MtfError:
    """What to do after Ctrl-C."""
    if not folder:
        return MtfError("interrupted before the first step", todo="start the run again")
    return MtfError(
        f"interrupted; what was learned is in {folder}",
        todo=f"go on with mtf train --resume {folder}",
    )
