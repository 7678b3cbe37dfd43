"""``mtf evaluate RUN``: the figures of a run's test part, computed again from its best weights.

``mtf evaluate CONFIG --walk-forward`` trains a config anew along time (``mtf.walk_forward``).
"""

from __future__ import annotations

if __name__ == "__main__":  # first, so that a line appears before torch is imported
    import sys

    from mtf.cli import main as cli

    cli(["evaluate", *sys.argv[1:]])

from collections.abc import Sequence
from pathlib import Path

from mtf import walk_forward as walking
from mtf.backtest import write
from mtf.config.load import load_config
from mtf.errors import CheckpointError
from mtf.evaluation.degraded import Degraded, degraded
from mtf.evaluation.part import evaluate_part_of
from mtf.learning.disk import replace_synced
from mtf.learning.task import Task
from mtf.market.finding import counted
from mtf.report.degraded import Steps, degraded_csv, degraded_lines, degraded_pictures
from mtf.report.tensorboard import TensorBoard
from mtf.report.terminal import Terminal
from mtf.run import Run, keep, load, named_after
from mtf.trials import look


def main(
    run: str, *, symbol: str | None = None, missing: bool = False, trust: bool = False
) -> None:
    """Evaluate a run again: prints the table, rewrites metrics.json and predictions.parquet.

    Args:
        run: a run folder, or a name (its latest).
        symbol: to measure alone, learned or not: into metrics_SOLUSDT.json and so on.
        missing: measure missing, late and frozen streams instead: writes degraded.csv and images.
        trust: run the plug-in files that the run's config names.

    Raises:
        MtfError: no such run, changed candles, or damaged checkpoints.
    """
    found = load(run, trust_plugins=trust)
    terminal = Terminal()
    for note in found.notes:
        terminal.line(f"note: {note}")
    best = found.best()
    terminal.passed_over(best.rejected)
    if symbol is not None:
        learned = symbol in found.config.decisions.symbols
        terminal.line(f"{symbol} alone" + ("" if learned else ", which was left out of training"))
    task, last = found.task(), found.path
    if missing:
        last = _measure_missing(found, task, terminal, symbol, best.path.name)
    else:
        speed = found.training_speed
        done = evaluate_part_of(task, symbol=symbol, samples_per_second=speed)
        terminal.results(done.results)  # first, so that they are seen where nothing can be written
        keep(found, done, symbol)
    standing = look(found, task, "test", symbol)
    terminal.line(f"the test part was looked at {counted(standing.looks, 'time')}")
    write(found)
    terminal.line(str(last))


def walk_forward(
    config: str,
    overrides: Sequence[str] = (),
    *,
    processes: int = 1,
    resume: bool = False,
    trust: bool = False,
) -> None:
    """``mtf evaluate CONFIG [key=value …] --walk-forward``: fold by fold along time.

    Args:
        config: a YAML file, or the name of a config that comes with mtf; to go on, the folder of a
            walk-forward, its name, or that of its config.
        overrides: such as ``walk_forward.folds=6``; none to go on.
        processes: trainings side by side.
        resume: go on with a walk-forward that was stopped.
        trust: run the plug-in files that its config names, to go on.

    Raises:
        MtfError: config or data can't be used, or a training failed.
    """
    if resume:
        walking.go_on(walking.find(config, trust), processes)
    else:
        walking.walk_forward(load_config(config, overrides), processes)


def _measure_missing(
    run: Run, task: Task, terminal: Terminal, symbol: str | None, weights: str
) -> Path:
    """What the model is worth with streams missing, late or frozen; the file that has it."""
    found = degraded(task, symbol=symbol, told=Steps(terminal.line))
    for line in degraded_lines(found):
        terminal.line(line)
    path = run.path / named_after("degraded", symbol, "csv")
    try:
        replace_synced(path, _naming(weights, degraded_csv(found)).encode())
    except OSError as error:
        raise CheckpointError(
            f"could not write {path}: {error.strerror or error}",
            "a writable folder with room for it",
            f"free space or fix the permissions, then mtf evaluate {run.path} --degraded",
        ) from error
    _show(run, found, symbol)
    return path


def _naming(weights: str, table: str) -> str:
    """A table with a last column that says what was measured, so that no other weights use it."""
    header, *rows = table.splitlines()
    return "\n".join([f"{header},weights", *(f"{row},{weights}" for row in rows)]) + "\n"


def _show(run: Run, found: Degraded, symbol: str | None) -> None:
    """Maps of the values on the run's TensorBoard page."""
    board = TensorBoard(run.tensorboard)
    for name, picture in degraded_pictures(found):
        board.image(name if symbol is None else f"{name}/{symbol}", picture, 0)
    board.close()
