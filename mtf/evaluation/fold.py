"""One job of a walk-forward: a training on a fold and its answers, or those of the baselines.

The answers are about the decisions of the fold's test block. Each job leaves a folder that is there
when it is whole; a training that was killed leaves its checkpoints in a hidden one and is gone on
with from there, bit for bit. Baselines do not depend on the seed: they are fitted once a fold, on
its training part. Figures are not made here: they are of all folds together (``out_of_sample``).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtf.errors import CheckpointError, DataError, MtfError
from mtf.evaluation.answers import save_arrays, tree_of
from mtf.evaluation.evaluate import forecasts_of
from mtf.evaluation.ledger import Ledger
from mtf.evaluation.part import asked_of, no_label, sweeps
from mtf.evaluation.trial import Trial, config_hash, market_of
from mtf.evaluation.walk import ANSWERS, BEFORE, FACTS, Job, Walk
from mtf.learning.checkpoint import clear_leftovers, is_untouched, read_newest
from mtf.learning.disk import sync_folder, write_synced
from mtf.learning.finish import take_best
from mtf.learning.folds import Fold
from mtf.learning.log import Quiet
from mtf.learning.optimise import named_tensors
from mtf.learning.saved_state import State
from mtf.learning.sweep import Sweep
from mtf.learning.targets import any_present, labels_of
from mtf.learning.task import Task, prepare
from mtf.market.times import iso
from mtf.plugins.files import load_files


class Worker:
    """Does jobs of one walk-forward one after the other; candles are loaded once for all.

    Every training takes one thread, however many there are side by side: figures must not depend
    on that.

    Args:
        walk: whose jobs these are.
        task: of the same config, whose candles are used.
    """

    def __init__(self, walk: Walk, task: Task | None = None) -> None:
        """Run the plug-in files of the config: a fresh process does not know them."""
        self.walk, self.task = walk, task
        self.folds = walk.folds()
        self.plugin_files = load_files(walk.config.plugins)

    def __call__(self, job: Job) -> str:
        """Do a job.

        Returns:
            What went wrong; empty where it is done.
        """
        try:
            self._do(job)
        except MtfError as error:
            return str(error)
        except Exception as error:  # of a plug-in, say: the other jobs go on
            return f"{type(error).__name__}: {error}"
        return ""

    def _do(self, job: Job) -> None:
        """Prepare, work, and give the folder its name once all is in it."""
        began, parts = time.perf_counter(), self.folds[job.fold - 1]
        self.task = task = self._prepared(job, parts)
        unfinished = self.walk.folder / f".{job.name}.unfinished"
        unfinished.mkdir(parents=True, exist_ok=True)
        facts: dict[str, Any] = {}
        if job.seed is None:
            tree = {symbol: _baselines(task, symbol) for symbol in task.panel.builders}
        else:
            tree, facts = _trained(task, unfinished / "checkpoints")
            self._record(task, facts)
            if job.fold == 1:
                save_arrays(_before(task), unfinished / BEFORE)
        save_arrays(tree, unfinished / ANSWERS)
        facts |= {
            "schema": 1,
            "fold": job.fold,
            "seed": job.seed,
            "parts": {name: [iso(one.start_ms), iso(one.end_ms)] for name, one in parts.items()},
            "seconds": time.perf_counter() - began,
        }
        write_synced(unfinished / FACTS, (json.dumps(facts, indent=2) + "\n").encode())
        sync_folder(unfinished)
        unfinished.rename(self.walk.path(job))
        sync_folder(self.walk.folder)

    def _record(self, task: Task, facts: Mapping[str, Any]) -> None:
        """Write the training into the ledger, before it is said to be done: none is forgotten."""
        if self.walk.ledger is None:
            return
        test, config = task.parts["test"], task.config
        trial = Trial(
            kind="fold",
            run=str(self.walk.folder.parent),
            name=config.name,
            config_hash=config_hash(config, self.plugin_files),
            data_hash=task.fingerprint,
            market=market_of(config, task.source),
            symbols=tuple(task.panel.builders),
            seed=config.seed,
            part="out_of_sample",
            start_ms=test.start_ms,
            end_ms=test.end_ms,
            figures={"validation_loss": facts["history"][facts["best_epoch"] - 1]["validation"]},
        )
        Ledger(self.walk.ledger).record(trial)

    def _prepared(self, job: Job, parts: Fold) -> Task:
        """The task of a job, with the candles of the one before.

        Raises:
            DataError: candles that have changed.
        """
        config = self.walk.config
        fabric = config.fabric.model_copy(update={"threads": 1})
        seed = config.seed if job.seed is None else job.seed
        config = config.model_copy(update={"seed": seed, "fabric": fabric})
        task = prepare(config, parts, self.task)
        if task.fingerprint != self.walk.fingerprint:
            raise DataError(
                f"the candles have changed: fingerprint {task.fingerprint[:12]}",
                f"{self.walk.fingerprint[:12]}, as when the walk-forward began",
                "bring back the data, or start anew",
            )
        return task


def _trained(task: Task, checkpoints: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train, and ask the best weights about the test block; what they said, and facts."""
    state = _fitted(task, checkpoints)
    take_best(task, checkpoints, state.step)
    began = time.perf_counter()
    said = sweeps(task, task.panel.builders, "test")
    asked = time.perf_counter() - began
    for path in checkpoints.glob("last-*"):  # nothing is left to go on with
        shutil.rmtree(path)
    count = {symbol: len(one.times) for symbol, one in said.items()}
    facts = {
        "best_epoch": state.best_epoch + 1,
        "epochs": state.epoch,
        "history": state.history,
        "weights_sha256": _digest(task),
        "decisions": count,
        "samples_per_second": {
            "train": state.samples / max(state.seconds, 1e-9),
            "eval": sum(count.values()) / max(asked, 1e-9),
        },
    }
    return {symbol: tree_of(one) for symbol, one in said.items()}, facts


def _before(task: Task) -> dict[str, Any]:
    """What the model says of the calibration part; nothing where that has no label.

    That of the first fold lies before all test blocks: it tells money how sure is sure.
    """
    try:
        said = sweeps(task, task.panel.builders, "calibration")
    except DataError:
        return {}
    return {symbol: tree_of(one) for symbol, one in said.items()}


def _fitted(task: Task, checkpoints: Path) -> State:
    """Train to the end, from where a kill left it."""
    checkpoints.mkdir(exist_ok=True)
    clear_leftovers(checkpoints)
    fitting = task.fitting(Quiet(), Quiet(), checkpoints)
    if not is_untouched(checkpoints):
        try:
            fitting.restore(read_newest(checkpoints, "last"))
        except CheckpointError:  # from the start it comes to the same, only later
            shutil.rmtree(checkpoints)
            return _fitted(task, checkpoints)
    return fitting.run()


def _baselines(task: Task, symbol: str) -> dict[str, Any]:
    """What the baselines say of the decisions that the model is asked about: head → target → name.

    Raises:
        DataError: no decision of the test block has a label.
    """
    builder, test = task.panel.builders[symbol], task.parts["test"]
    heads, world = builder.heads, builder.world
    every = test.times(world.clock)
    times = every[any_present(labels_of(heads, world, every, test.end_ms))]
    if not len(times):
        raise no_label("test", len(every), symbol)
    empty: dict[str, dict[str, np.ndarray]] = {name: {} for name in heads}
    asked = asked_of(task, world, Sweep(times, empty, labels_of(heads, world, times, test.end_ms)))
    names = task.config.evaluation.baselines
    return {
        name: {
            target: dict(forecasts_of(head, name, target, asked, names, task.source).said)
            for target in head.targets
        }
        for name, head in heads.items()
    }


def _digest(task: Task) -> str:
    """A sum of all weights, to tell whether two trainings came to the same."""
    digest = hashlib.sha256()
    for name, tensor in sorted(named_tensors(task.model).items()):
        plain = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(name.encode() + plain.numpy().tobytes())
    return digest.hexdigest()


__all__ = ["Worker"]
