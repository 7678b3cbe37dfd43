"""``mtf backtest RUN``: what a run said, traded; whether anything is left after costs.

Reads the predictions that the run keeps of its test part (of a walk-forward: of all its folds), or
asks the model about another part. Writes the last backtest's files into the run's folder and its
report anew, and notes the trial in the ledger.
"""

from __future__ import annotations

if __name__ == "__main__":  # first, so that a line appears before torch is imported
    import sys

    from mtf.cli import main as cli

    cli(["backtest", *sys.argv[1:]])

from collections.abc import Sequence
from pathlib import Path

from mtf.config.build import build
from mtf.config.load import load_config
from mtf.config.schema import Config
from mtf.errors import CheckpointError, ConfigError, DataError
from mtf.evaluation.out_of_sample import PART
from mtf.evaluation.standing import Standing, rows
from mtf.evaluation.traded import Traded, bars_of, trade
from mtf.evaluation.trial import Kind
from mtf.learning.json_files import write_json
from mtf.plugins.contracts import DataSource
from mtf.predictions import Predictions, load_all
from mtf.report.html import FILE, write_report
from mtf.report.material import STANDING, Material
from mtf.report.money_files import keep_money
from mtf.report.pictures import log_pictures
from mtf.report.tensorboard import TensorBoard
from mtf.report.terminal import Terminal
from mtf.report.traded import money_of, sentence, traded_lines
from mtf.run import CALIBRATION, Run, load
from mtf.trials import Looked, record
from mtf.trust import trusted_plugins

MAY_CHANGE = ("backtest", "costs", "evaluation.bootstrap")


def main(
    run: str,
    overrides: Sequence[str] = (),
    *,
    part: str = "test",
    symbol: str | None = None,
    trust: bool = False,
) -> None:
    """Trade a part of a run, print what is left, keep the files and the report.

    Args:
        run: a run folder, or a name (its latest).
        overrides: of ``costs`` and ``backtest``.
        part: of the data; a walk-forward has one, all that is out of sample.
        symbol: to trade alone; None = every symbol of the run.
        trust: run the plug-in files that the run's config names.

    Raises:
        MtfError: no such run, other overrides, or predictions that the policy can't read.
    """
    found = load(run, trust_plugins=trust)
    config = changed(found, overrides, trust)
    terminal = Terminal()
    for note in found.notes:
        terminal.line(f"note: {note}")
    for line in traded_lines(*trade_run(found, config, part, symbol)):
        terminal.line(line)
    terminal.line(str(found.path))


def trade_run(
    run: Run, config: Config, part: str = "test", symbol: str | None = None
) -> tuple[list[Traded], Standing]:
    """Trade a part of a run, note the trial, keep the files and the report.

    Args:
        run: whose predictions are traded.
        config: the run's, with other costs or another backtest (``changed``).
        part: of the data.
        symbol: to trade alone; None = every symbol of the run.

    Returns:
        What was traded symbol by symbol, and where it stands among all trials.

    Raises:
        MtfError: predictions that the policy can't read, or a folder that can't be written.
    """
    said = [one for one in _said(run, part) if symbol in (None, one.symbol)]
    if not said:
        known = ", ".join(run.config.decisions.symbols)
        raise ConfigError(f"found --symbol {symbol}", f"one of {known}")
    source = build("data_source", config.data)
    traded = traded_of(config, source, said, _kept(run.path / CALIBRATION))
    standing = record(run, "backtest", source, Looked.of(said, config), traded, config)
    keep_traded(run, config, said[0].part, traded, standing)
    write(run)
    return traded, standing


def after_training(
    run: Run,
    source: DataSource,
    said: Sequence[Predictions],
    before: Sequence[Predictions],
    terminal: Terminal,
    kind: Kind = "train",
) -> None:
    """Trade what a new run said, note the trial, and say whether anything is left.

    A run whose policy finds nothing to read in its predictions is noted without returns.

    Args:
        run: with its predictions kept.
        source: where its candles come from.
        said: of the test part, symbol by symbol.
        before: of the calibration part, which tells how sure is sure.
        terminal: where to print.
        kind: of the trial.

    Raises:
        MtfError: the ledger or the folder can't be written.
    """
    config, traded = run.config, list[Traded]()
    if config.backtest is not None:
        try:
            traded = traded_of(config, source, said, before)
        except DataError as error:
            terminal.line(f"no backtest: {error.found}; expected {error.expected}")
    standing = record(run, kind, source, Looked.of(said, config), traded)
    keep_traded(run, config, said[0].part, traded, standing)
    for line in traded_lines(traded, standing, short=True):
        terminal.line(line)


def traded_of(
    config: Config,
    source: DataSource,
    said: Sequence[Predictions],
    before: Sequence[Predictions] = (),
) -> list[Traded]:
    """Every symbol traded, from its first decision to its last.

    Raises:
        DataError: no candles, no funding rates, or predictions that the policy can't read.
    """
    earlier = {one.symbol: one for one in before}
    clock_ms = config.decisions.clock.duration_ms
    found = []
    for one in said:
        span = int(one.times[0]), int(one.times[-1]) + clock_ms
        bars = bars_of(config, source, one.symbol, *span)
        found.append(trade(config, one, bars, earlier.get(one.symbol)))
    return found


def keep_traded(
    run: Run, config: Config, part: str, traded: Sequence[Traded], standing: Standing
) -> None:
    """Write what a backtest found beside the run, and where it stands among all trials.

    Raises:
        CheckpointError: the folder can't be written; old files stay as they were.
    """
    told = {"standing": standing.as_dict(), "trials": rows(standing.trials)}
    try:
        write_json(run.path / STANDING, told)
        if traded:
            money = [money_of(config, one, part) for one in traded]
            keep_money(run.path, money, sentence(traded, standing))
    except OSError as error:
        raise CheckpointError(
            f"could not write the backtest in {run.path}: {error.strerror or error}",
            "a writable folder with room for it",
            f"free space or fix the permissions, then mtf backtest {run.path}",
        ) from error


def write(run: Run, log: TensorBoard | None = None, step: int = 0) -> None:
    """Write report.html from the files of the run's folder, and its pictures into TensorBoard.

    Nothing where the run's config asks for no report.

    Args:
        run: whose folder it is.
        log: that takes the pictures; None = one of its own.
        step: that they stand at.

    Raises:
        MtfError: a file of the run is damaged, or the folder can't be written.
    """
    if not run.config.evaluation.report:
        return
    path, material = run.path / FILE, Material.of_folder(run.path)
    board = log or TensorBoard(run.tensorboard)
    try:
        write_report(material, path)
        log_pictures(material, board, step)
    except OSError as error:
        raise CheckpointError(
            f"could not write {path}: {error.strerror or error}",
            "a writable folder with room for it",
            f"free space or fix the permissions, then mtf backtest {run.path}",
        ) from error
    finally:
        if log is None:
            board.close()


def changed(run: Run, overrides: Sequence[str], trust: bool = False) -> Config:
    """The run's config with other costs or another backtest.

    Raises:
        ConfigError: an override of anything else, which would be of another run.
    """
    for one in overrides:
        if not one.partition("=")[0].strip().startswith(MAY_CHANGE):
            raise ConfigError(
                f"override {one!r}: what was learned can't be changed any more",
                "keys of costs and backtest",
                "train another run for it",
            )
    plugins, _ = trusted_plugins(run.path, trust)
    return (
        load_config(run.path / "config.yaml", [*plugins, *overrides]) if overrides else run.config
    )


def _said(run: Run, part: str) -> Sequence[Predictions]:
    """What the run keeps of the part, or what its model says of it."""
    kept = _kept(run.path / "predictions.parquet")
    if kept and kept[0].part in (part, PART):
        return kept
    return run.predict_all(part)


def _kept(path: Path) -> Sequence[Predictions]:
    return load_all(path) if path.exists() else ()
