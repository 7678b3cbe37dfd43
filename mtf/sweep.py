"""``mtf sweep FILE``: search the values of any keys of a config, by its validation part alone.

The sweep's folder, ``runs/<name>/sweep-<sum>/``, is found again by what is searched: the same
command goes on where it was stopped. It has base.yaml, environment.json and data.json of what is
varied, ``trials/`` with a run folder for every training, study.log (Optuna's), trials.csv,
sweep.json, and best.yaml to train. How many trials there are, and who does them, may change from
call to call; anything else begins another sweep.
"""

from __future__ import annotations

if __name__ == "__main__":  # first, so that a line appears before torch is imported
    import sys

    from mtf.cli import main as cli

    cli(["sweep", *sys.argv[1:]])

import hashlib
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mtf.config.load import resolved
from mtf.config.sweep_file import SweepPlan, load_sweep
from mtf.environment import check_data, environment
from mtf.errors import CheckpointError, MtfError
from mtf.evaluation.ledger import FOLDER, Ledger
from mtf.evaluation.trial import canonical
from mtf.learning.disk import replace_synced
from mtf.learning.json_files import write_json
from mtf.learning.task import prepare
from mtf.plugins.files import load_files
from mtf.report.data import data_report, print_data
from mtf.report.terminal import Terminal
from mtf.run import RUNS
from mtf.run_folder import clear_unfinished, locked
from mtf.searching.pool import pool_of
from mtf.searching.results import last_lines, metric_in_words, write_results
from mtf.searching.search import Search
from mtf.searching.study import Study, needed

MAY_CHANGE = {"base", "overrides", "trials", "workers", "gpus", "address"}
"""Keys that don't make it another sweep; what base and overrides come to does."""


def sweep(plan: SweepPlan, terminal: Terminal | None = None) -> Path:
    """Do all trials of a sweep that are not done, and write down the best config.

    Args:
        plan: what is searched (``load_sweep``).
        terminal: where to print; None = the standard output.

    Returns:
        The sweep's folder.

    Raises:
        MtfError: a package is missing, data or disk can't be used, the candles have changed since
            the sweep began, or another process is at it. Nothing is written before the data were
            read.
        KeyboardInterrupt: with the folder; the same call goes on.
    """
    terminal = terminal or Terminal()
    needed("optuna")
    if plan.sweep.workers > 1 or plan.sweep.address is not None:
        needed("ray")
    folder = folder_of(plan)
    _begin(plan, folder, terminal)
    with _stops_naming(folder), locked(folder):
        clear_unfinished(folder)
        search = Search(plan, folder, Study(plan, folder), Ledger(RUNS / FOLDER), terminal.line)
        for line in _opening(plan, folder, search.study):
            terminal.line(line)
        with pool_of(plan.sweep) as pool:
            search.run(pool)
        write_results(folder, plan, search.study)
        for line in last_lines(folder, plan, search.study):
            terminal.line(line)
    return folder


def folder_of(plan: SweepPlan) -> Path:
    """Where a sweep is kept: the sum is of all that decides what its trials are."""
    searched = plan.sweep.model_dump(mode="json", exclude=MAY_CHANGE)
    base = plan.base.model_dump(mode="json", by_alias=True)
    searched["search"] = list(searched["search"].items())  # their order is that of a grid
    for name in ("streams", "heads"):  # whose order draws other weights
        base[name] = list(base[name].items())
    plugin_files = load_files(plan.base.plugins)
    text = canonical({"base": base, "plugin_files": plugin_files, "sweep": searched})
    return RUNS / plan.base.name / f"sweep-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def main(file: str, overrides: Sequence[str] = ()) -> Path:
    """``mtf sweep FILE [key=value …]``.

    Args:
        file: a sweep file.
        overrides: keys of the sweep file, such as ``trials=50``, or of the config it varies.

    Returns:
        The sweep's folder.

    Raises:
        MtfError: as ``sweep``; also Ctrl-C, with how to go on.
    """
    try:
        return sweep(load_sweep(file, overrides))
    except KeyboardInterrupt as interrupt:
        again = "start it again" if not interrupt.args else "go on with the same command: "
        if interrupt.args:
            again += f"mtf sweep {shlex.join([file, *overrides])}"
        where = f"; what was trained is in {interrupt.args[0]}" if interrupt.args else ""
        raise MtfError(f"interrupted{where}", todo=again) from None


def _begin(plan: SweepPlan, folder: Path, terminal: Terminal) -> None:
    """Read the candles once, print what they are like, and make the folder if it is not there.

    Raises:
        MtfError: data that can't be used, or other candles than those that the sweep began with.
    """
    task = prepare(plan.base)
    print_data(task, terminal.console)
    if (folder / "environment.json").is_file():
        check_data(folder, task)
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_synced(folder / "base.yaml", resolved(plan.base).encode())
        write_json(folder / "data.json", data_report(task))
        write_json(folder / "environment.json", environment(task))
    except OSError as error:
        raise _refused(folder, error) from error


def _opening(plan: SweepPlan, folder: Path, study: Study) -> Iterator[str]:
    """What is about to be done."""
    sweep = plan.sweep
    yield f"sweep folder {folder}"
    by = "in this process" if sweep.workers == 1 and sweep.address is None else "over Ray"
    workers = "one worker" if sweep.workers == 1 else f"{sweep.workers} workers"
    better = "lower" if sweep.direction == "minimize" else "higher"
    yield (
        f"{study.planned} trials ({sweep.sampler}), {workers} {by}; {metric_in_words(plan)}, "
        f"{better} is better; the test part is not looked at"
    )
    done = len(study.trials) - len(study.unfinished())
    if study.trials:
        yield f"{done} of {study.planned} are done already"
    for key in plan.incomparable():
        yield (
            f"note: {key} changes what the validation loss measures: trials that differ in it are "
            "compared by different sums; a figure such as metric: action/log_loss may be fairer"
        )


@contextmanager
def _stops_naming(folder: Path) -> Iterator[None]:
    """Ctrl-C and a disk that refuses say which sweep they stopped, as it can be gone on with."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(folder) from None
    except BrokenPipeError:  # of the output, not of the sweep
        raise
    except OSError as error:
        raise _refused(folder, error) from error


def _refused(folder: Path, error: OSError) -> CheckpointError:
    """The error for a disk that refuses."""
    return CheckpointError(
        f"could not write in {folder}: {error.strerror or error}",
        "a writable folder with room for it",
        "free space or fix the permissions, then start the same sweep again",
    )
