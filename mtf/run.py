"""A run: one training and its folder, ``runs/<name>/<time>/``.

The folder holds config.yaml (resolved), environment.json, data.json, checkpoints/, tensorboard/,
metrics.json and predictions.parquet. Nothing in it executes when it is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtf.config.load import load_config, resolved
from mtf.config.schema import Config
from mtf.environment import check_data
from mtf.errors import CheckpointError, ConfigError, DataError
from mtf.learning.json_files import json_text, read_json, write_json
from mtf.run_folder import create_folder
from mtf.trust import trusted_plugins

if TYPE_CHECKING:
    from mtf.calling.model import KeywordModel
    from mtf.evaluation.attention import StreamAttention
    from mtf.evaluation.degraded import Degraded
    from mtf.evaluation.part import Evaluated
    from mtf.evaluation.results import Results
    from mtf.evaluation.traded import Traded
    from mtf.learning.checkpoint import Checkpoint
    from mtf.learning.task import Task
    from mtf.model.streaming import Streaming
    from mtf.predictions import Predictions

RUNS = Path("runs")
CALIBRATION = "calibration.parquet"
"""What a run said of its calibration part: how sure is sure, before the test part began."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ(-\d+)?")


@dataclass(frozen=True)
class Run:
    """A run folder.

    Attributes:
        path: the folder.
        config: as resolved when the run began.
        notes: what is not as it was then, in words: plug-in files that have changed.
    """

    path: Path
    config: Config
    notes: tuple[str, ...] = ()

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        """Folder of the TensorBoard events."""
        return self.path / "tensorboard"

    @property
    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json.

        Raises:
            CheckpointError: the run has not been evaluated.
        """
        return read_json(self.path / "metrics.json")

    @property
    def training_speed(self) -> dict[str, float]:
        """Training samples a second by ``train``; empty where no sound metrics.json tells it."""
        try:
            return {"train": float(self.metrics["samples_per_second"]["train"])}
        except (CheckpointError, LookupError, TypeError, ValueError):
            return {}

    def best(self) -> Checkpoint:
        """The newest sound checkpoint of the best weights, with those that were passed over.

        Those with calibrated heads where the run has such.

        Raises:
            CheckpointError: there is none.
        """
        from mtf.learning.checkpoint import CALIBRATED, read_newest

        calibrated = any(self.checkpoints.glob(f"{CALIBRATED}-*"))
        return read_newest(self.checkpoints, CALIBRATED if calibrated else "best")

    def task(self) -> Task:
        """The run made ready again: candles loaded, the best weights in the model.

        Raises:
            MtfError: data or checkpoints that can't be used; candles that are not those of the run.
        """
        from mtf.learning.optimise import set_tensors
        from mtf.learning.task import prepare

        best = self.best()
        task = prepare(self.config)
        check_data(self.path, task)
        set_tensors(task.model, best.tensors["weights"])
        return task

    def model(self) -> KeywordModel:
        """The model with its best weights, to be called by keywords, in evaluation; reads no data.

        Raises:
            MtfError: checkpoints that can't be used.
        """
        from mtf.calling.model import KeywordModel
        from mtf.learning.optimise import set_tensors

        best = self.best()
        model = KeywordModel.of(self.config)
        set_tensors(model.hybrid, best.tensors["weights"])
        return model

    def stream(self, symbol: str | None = None, *, reach: int = 1024) -> Streaming:
        """The model with its best weights, to be fed candle by candle; reads no data.

        Args:
            symbol: of a panel; None, or one that was not learned, is told as such.
            reach: slots before a stream's newest one within which a late candle is still taken.

        Raises:
            MtfError: checkpoints that can't be used.
        """
        from mtf.learning.load import feature_sets
        from mtf.model.streaming import Streaming

        told = self.config.panel.index(symbol) if symbol in self.config.panel else None
        clock, sets = self.config.decisions.clock, feature_sets(self.config)
        return Streaming(self.model().hybrid, sets, clock, symbol=told, reach=reach)

    def predict(self, part: str = "test", symbol: str | None = None) -> Predictions:
        """Ask the model about every decision of a part that has a label.

        Args:
            part: one of the four parts.
            symbol: to ask about, also one that was left out of training; None = that of the run.

        Raises:
            ConfigError: the run has several symbols and none is named (``predict_all``).
        """
        if symbol is None and self.config.panel:
            raise ConfigError(
                f"{self.path} is a run of {len(self.config.panel)} symbols",
                "one of them: predictions are of one symbol",
                f"say symbol={self.config.symbol!r}, or take predict_all",
            )
        return self.predict_all(part, symbol)[0]

    def predict_all(self, part: str = "test", symbol: str | None = None) -> tuple[Predictions, ...]:
        """What ``predict`` returns, for every symbol of the run; ``symbol``: for that one alone."""
        from mtf.evaluation.part import predictions_of_part

        return predictions_of_part(self._looked_at(part, symbol), part, symbol)

    def save_predictions(
        self, path: str | Path, part: str = "test", symbol: str | None = None
    ) -> int:
        """Write what ``predict_all`` returns to a parquet file, in bounded memory; how many.

        Raises:
            OSError: the disk refuses; an old file stays as it was.
        """
        from mtf.evaluation.part import save_predictions

        return save_predictions(self._looked_at(part, symbol), Path(path), part, symbol)

    def attention(self, part: str = "validation") -> list[StreamAttention]:
        """Which stream listens to which, by layer of the fusion.

        Raises:
            ConfigError: the fusion has no attention between streams.
        """
        from mtf.evaluation.attention import stream_attention

        return stream_attention(self.task(), part)

    def evaluate(self, part: str = "test", symbol: str | None = None) -> Results:
        """Metrics of a part beside the baselines, with intervals.

        Args:
            part: one of the four parts.
            symbol: to measure, also one that was left out of training: it is scored as it is, the
                model told that it has not learned it. None = every symbol of the run.
        """
        from mtf.evaluation.part import evaluate_part_of

        return evaluate_part_of(self._looked_at(part, symbol), part, symbol=symbol).results

    def degraded(self, part: str = "test", symbol: str | None = None) -> Degraded:
        """The value of every set of streams, and of streams that are late or frozen.

        Args:
            part: one of the four parts.
            symbol: to measure, learned or not; None = every symbol of the run.
        """
        from mtf.evaluation.degraded import degraded

        return degraded(self._looked_at(part, symbol), part, symbol=symbol)

    def backtest(
        self, overrides: Sequence[str] = (), part: str = "test", symbol: str | None = None
    ) -> list[Traded]:
        """Trade a part as ``mtf backtest`` does; what came of it, symbol by symbol.

        Args:
            overrides: of costs and backtest, such as ``costs.commission=0.0005``.
            part: one of the four parts.
            symbol: to trade alone; None = every symbol of the run.

        Raises:
            MtfError: predictions that the policy can't read, or other overrides.
        """
        from mtf.backtest import changed, trade_run

        return trade_run(self, changed(self, overrides), part, symbol)[0]

    def _looked_at(self, part: str, symbol: str | None) -> Task:
        """The run made ready again, and a look at its test part noted in the trial ledger."""
        from mtf.trials import look

        task = self.task()
        if part == "test":
            look(self, task, part, symbol)
        return task


def fit(config: Config | str | Path, overrides: Sequence[str] = ()) -> Run:
    """Train and evaluate a config, as ``mtf train`` does.

    Args:
        config: a ``Config``, a file, or the name of a shipped config.
        overrides: of a file, such as ``training.epochs=2``.

    Raises:
        MtfError: config, data or disk can't be used.
    """
    from mtf.train import train

    return train(config if isinstance(config, Config) else load_config(config, overrides))


def create_run(config: Config, files: Mapping[str, Mapping[str, Any]]) -> Run:
    """Make a new run folder, with its config and some JSON files in it.

    Two runs started in the same second get two folders, and each appears in one go.

    Args:
        config: of the run.
        files: content of JSON files by stem.

    Raises:
        CheckpointError: the folder can't be written.
    """
    parent = RUNS / config.name
    texts = {f"{stem}.json": json_text(content) for stem, content in files.items()}
    try:
        path = create_folder(parent, {"config.yaml": resolved(config), **texts})
    except OSError as error:
        raise CheckpointError(
            f"could not write a run folder in {parent}: {error.strerror or error}",
            "a writable folder with room for it",
            "free space, fix the permissions, or start from another folder",
        ) from error
    return Run(path, config)


def load(name: str | Path, *, trust_plugins: bool = False) -> Run:
    """The run that a folder, or a name (its latest), means.

    Args:
        name: a run folder, or the name of a config that was trained from this folder.
        trust_plugins: run the plug-in files that the run's config names, as they are now. What
            has changed in them since the run began stands in ``notes``.

    Raises:
        CheckpointError: there is none, with those that are there.
        ConfigError: its config can't be used.
        MtfError: it names files that would run, without ``trust_plugins``.
    """
    path = Path(name)
    if not os.path.isfile(path / "config.yaml"):  # quiet about impossible names
        path = _latest(str(name))
    overrides, changes = trusted_plugins(path, trust_plugins)
    return Run(path, load_config(path / "config.yaml", overrides), tuple(changes))


def keep(run: Run, done: Evaluated, symbol: str | None = None) -> None:
    """Write what an evaluation found: predictions.parquet and metrics.json.

    Args:
        run: whose folder they go to.
        done: the evaluation.
        symbol: that was evaluated by itself: it stands in the names, ``metrics_SOLUSDT.json``.

    Raises:
        CheckpointError: the folder can't be written; old files stay as they were.
    """
    from mtf.predictions import save_all

    predictions = named_after("predictions", symbol, "parquet")
    metrics = named_after("metrics", symbol, "json")
    try:
        save_all(done.said, run.path / predictions)
        write_json(run.path / metrics, done.results.as_dict())
    except OSError as error:
        again = f"mtf evaluate {run.path}" + (f" --symbol {symbol}" if symbol else "")
        raise CheckpointError(
            f"could not write {predictions} and {metrics} in {run.path}: {error.strerror or error}",
            "a writable folder with room for them",
            f"free space or fix the permissions, then {again}",
        ) from error


def keep_calibration(run: Run, task: Task) -> tuple[Predictions, ...]:
    """Write what the model says of the calibration part; nothing where that has no label.

    Raises:
        CheckpointError: the folder can't be written.
    """
    from mtf.evaluation.part import predictions_of_part
    from mtf.predictions import save_all

    try:
        said = predictions_of_part(task, "calibration")
        save_all(said, run.path / CALIBRATION)
    except DataError:
        return ()
    except OSError as error:
        raise CheckpointError(
            f"could not write {CALIBRATION} in {run.path}: {error.strerror or error}",
            "a writable folder with room for it",
            "free space or fix the permissions",
        ) from error
    return said


def named_after(stem: str, symbol: str | None, suffix: str) -> str:
    """Name of a file of a run: with the symbol in it where that was measured by itself."""
    of = "" if symbol is None else "_" + re.sub(r"[^A-Za-z0-9.-]", "-", symbol)
    return f"{stem}{of}.{suffix}"


def _latest(name: str) -> Path:
    """The newest folder of a run name."""
    parent = RUNS / name
    found = [path for path in parent.glob("*Z*") if (path / "config.yaml").is_file()]
    found = [path for path in found if _TIME.fullmatch(path.name)]
    if found:
        return max(found, key=_age_key)
    there = sorted(path.parent.parent.name for path in RUNS.glob("*/*/config.yaml"))
    raise CheckpointError(
        f"no run {name!r}: it is neither a run folder (no config.yaml) nor a name in {RUNS}/",
        f"one of {', '.join(dict.fromkeys(there)) or 'no runs yet'}, or the folder of a run",
        "train one with mtf train CONFIG, or start from the folder that holds runs/",
    )


def _age_key(path: Path) -> tuple[str, int]:
    """Sort key of a run folder: its time, then its number within the second."""
    stamp, _, number = path.name.partition("Z")
    return stamp, int(number[1:] or 1)
