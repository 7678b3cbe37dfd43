"""The training loop, on one page.

Every step is a pure function of (seed, epoch, step) and the state that checkpoints hold, so a run
that was killed anywhere goes on bit for bit as if it had not been (on a CPU, same threads and
processes). With several processes each makes the same batches and learns from its share of them;
sums of gradients make that the step of one process. The loop knows nothing of config files, files
of candles or TensorBoard: it is handed built parts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from mtf.config.schema import TrainingConfig
from mtf.errors import DataError
from mtf.learning.checkpoint import Checkpoint, write_checkpoint
from mtf.learning.feed import Fed, Feed
from mtf.learning.interrupt import interrupts_held
from mtf.learning.log import Log, Progress
from mtf.learning.objective import target_losses, total_loss
from mtf.learning.optimise import (
    WeightAverage,
    learning_rate,
    make_optimizer,
    named_tensors,
    set_tensors,
    sum_gradients,
)
from mtf.learning.panel import Panel
from mtf.learning.sampling import Sampler
from mtf.learning.saved_state import SavedState, State
from mtf.learning.splits import Part
from mtf.learning.validate import Validation, validate
from mtf.market.times import iso
from mtf.model.batch import Batch
from mtf.model.hybrid import HybridModel
from mtf.model.share import Share, SharedModel


@dataclass
class Fitting:
    """One training run: its parts, and the state that changes.

    Attributes:
        model: with its heads.
        panel: makes the batches.
        sampler: says which decisions a step sees.
        parts: at least ``train`` and ``validation``.
        weights: of each head in the total loss.
        config: the ``training`` section.
        steps_per_epoch: optimiser steps an epoch.
        fabric: carries devices, precision and processes.
        log: takes scalars.
        progress: shows how far the run is.
        folder: where checkpoints go; None = keep none (walk-forward, tests).
    """

    model: HybridModel
    panel: Panel
    sampler: Sampler
    parts: Mapping[str, Part]
    weights: Mapping[str, float]
    config: TrainingConfig
    steps_per_epoch: int
    fabric: Fabric
    log: Log
    progress: Progress
    folder: Path | None = None
    state: State = field(default_factory=State)

    def __post_init__(self) -> None:
        """Set up the optimiser, the average of weights, and what this process does of several."""
        self.ranks, self.rank = self.fabric.world_size, self.fabric.global_rank
        plain = make_optimizer(self.model, self.config.optimizer)
        called = self.model if self.ranks == 1 else SharedModel(self.model)
        self.wrapped, self.optimizer = self.fabric.setup(called, plain)
        if self.ranks > 1:  # seeds are the same, machines may not be
            weights = {name: one.detach().cpu() for name, one in named_tensors(self.model).items()}
            set_tensors(self.model, self.fabric.broadcast(weights))
        decay = self.config.ema_decay
        self.average = WeightAverage(self.model, decay) if decay is not None else None
        self.feed = Feed(
            self.model,
            self.panel,
            self.sampler,
            self.parts["train"].end_ms,
            self.config.accumulate,
            self.steps_per_epoch,
            self.fabric.device,
            self.rank,
            self.ranks,
        )
        self._pressed: Callable[[], bool] = lambda: False
        self._asked = False

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.config.epochs * self.steps_per_epoch

    def run(self) -> State:
        """Train to the end, or until the validation loss stops falling.

        Raises:
            DataError: the loss is not finite; the message names the dates of the batch.
            KeyboardInterrupt: between two steps and after a checkpoint was written, so that the
                run can be resumed; a second Ctrl-C does not wait.
        """
        state = self.state
        try:
            with interrupts_held() as self._pressed:
                while state.epoch < self.config.epochs and not state.finished:
                    while state.step < (state.epoch + 1) * self.steps_per_epoch:
                        self._stop_if(self._asked or (self.ranks == 1 and self._pressed()))
                        self._step()
                        if state.step % self.config.checkpoint_every == 0:
                            self.save("last")
                    self._end_epoch()
                    self.save("last")
                self._stop_if(self._pressed())
        finally:
            self.progress.close()
            self.feed.close()
        return state

    def _stop_if(self, asked: bool) -> None:
        """Leave a checkpoint and stop where Ctrl-C was pressed; the state is whole here."""
        if asked:
            self.save("last")
            raise KeyboardInterrupt

    def _step(self) -> None:
        """One optimiser step over the accumulated batches."""
        state, began = self.state, time.perf_counter()
        self.model.train()
        if self.ranks > 1:
            torch.manual_seed(self.sampler.noise(state.epoch, state.step, self.rank))
        fed = self.feed.take(state.step)
        rate = learning_rate(
            self.config.schedule, self.config.optimizer.lr, state.step, self.total_steps
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        losses = self._backward(fed)
        norm = self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.model, state.step)
        figures = self._fetched(losses, norm)
        loss = figures["train/loss"]
        sound = self._scales_gradients or math.isfinite(figures["grad_norm"])
        if not (sound and math.isfinite(loss)):
            raise self._not_finite(loss)
        seconds = time.perf_counter() - began
        self._account(loss, fed.samples, seconds)
        figures |= {"lr": rate, "samples_per_second": fed.samples / seconds}
        for name, value in figures.items():
            self.log.scalar(name, value, state.step)
        self.progress.update(state.step, fed.samples, figures)

    def _batch(self, part: int) -> Batch:
        """A batch of this step; ``part`` counts the accumulated ones."""
        return self.feed.batch(self.state.step, part)

    def _backward(self, fed: Fed) -> dict[str, Tensor]:
        """Gradients of the loss over all batches; what this process adds to it, by head too.

        Nothing is asked of the device here: its work is only handed over.
        """
        heads, figures = self.model.heads_by_name, dict[str, Tensor]()
        for given in fed.given:
            own = given.own if isinstance(given, Share) else given
            sums = target_losses(heads, self.wrapped(given), own)
            loss, parts = total_loss(heads, self.weights, sums, fed.counts)
            self.fabric.backward(loss)
            found = {"loss": loss.detach(), **{f"{name}/loss": one for name, one in parts.items()}}
            figures = {f"train/{n}": one + figures.get(f"train/{n}", 0) for n, one in found.items()}
        if self.ranks > 1:
            sum_gradients(self.model, self._summed)
        return figures

    def _summed(self, value: Tensor) -> Tensor:
        """The sum over all processes."""
        return cast("Tensor", self.fabric.all_reduce(value, reduce_op="sum"))

    def _clip(self) -> Tensor:
        """Limit the gradient; its norm before that."""
        limit = math.inf if self.config.clip_norm is None else self.config.clip_norm
        norm = self.fabric.clip_gradients(
            self.wrapped, self.optimizer, max_norm=limit, error_if_nonfinite=False
        )
        return torch.as_tensor(norm)

    def _fetched(self, losses: dict[str, Tensor], norm: Tensor) -> dict[str, float]:
        """The figures of a step, of all processes: asked of the device once, in one transfer.

        With them processes agree on whether Ctrl-C was pressed in one of them.
        """
        told = torch.stack(list(losses.values()))
        if self.ranks > 1:
            told = self._summed(torch.cat([told, told.new_tensor([float(self._pressed())])]))
        *values, last = torch.cat([told, norm.reshape(1).to(told)]).tolist()
        self._asked = any(values[len(losses) :])
        return {**dict(zip(losses, values, strict=False)), "grad_norm": last}

    @property
    def _scales_gradients(self) -> bool:
        """With 16-mixed an infinite gradient is usual: the scale falls and the step is left out."""
        return getattr(self.fabric.strategy.precision, "scaler", None) is not None

    def _account(self, loss: float, samples: int, seconds: float) -> None:
        """Take a finished step into the state."""
        state = self.state
        state.step += 1
        state.loss_sum += loss
        state.loss_steps += 1
        state.samples += samples
        state.seconds += seconds

    def _not_finite(self, loss: float) -> DataError:
        """The error for a loss or gradient that is NaN or infinite."""
        state = self.state
        times = [
            self.sampler.times(state.epoch, state.step, part)
            for part in range(self.config.accumulate)
        ]
        first, last = iso(int(np.min(times))), iso(int(np.max(times)))
        return DataError(
            f"loss {loss} or its gradient is not finite at step {state.step}; the batch's "
            f"decisions lie between {first} and {last}",
            "finite losses",
            "look at the data of these dates (mtf inspect), or lower training.optimizer.lr; "
            "checkpoints of the steps before are kept",
        )

    def _end_epoch(self) -> None:
        """Validate, keep the best weights, decide whether to go on."""
        state = self.state
        found = self._measure("validation")
        if not math.isfinite(found.loss):
            part = self.parts["validation"]
            raise DataError(
                f"validation loss {found.loss} after step {state.step}, over the decisions from "
                f"{iso(part.start_ms)} to {iso(part.end_ms)}",
                "a finite loss",
                "look at the data of these dates (mtf inspect), or lower training.optimizer.lr",
            )
        self._log_measured("validation", found)
        if self.config.measure_train:
            self._log_measured("train_measured", self._measure("train"))
        state.history.append({"train": state.loss_sum / state.loss_steps, "validation": found.loss})
        state.loss_sum, state.loss_steps = 0.0, 0
        improved = found.loss < state.best_loss
        if improved:
            state.best_loss, state.stale_epochs = found.loss, 0
        else:
            state.stale_epochs += 1
        if improved or self.config.keep == "last":
            state.best_epoch = state.epoch
            self.save("best")
        state.epoch += 1
        patience = self.config.patience
        state.finished = patience is not None and state.stale_epochs >= patience
        self.progress.epoch(state.epoch, state.step, {"loss": found.loss, **found.figures})

    def _measure(self, part: str) -> Validation:
        """Losses and metrics on a part, with the averaged weights where there are.

        The process that leads measures, all others wait for what it found.
        """
        where, stride = self.parts[part], self.config.sampling.stride
        averaged = nullcontext() if self.average is None else self.average.applied_to(self.model)
        found = None
        if self.rank == 0:
            with averaged:
                found = validate(self.model, self.panel, where, self.weights, stride)
        return cast("Validation", self.fabric.broadcast(found))

    def _log_measured(self, part: str, found: Validation) -> None:
        """Every figure under the name of the part."""
        for name, value in {"loss": found.loss, **found.figures}.items():
            self.log.scalar(f"{part}/{name}", value, self.state.step)

    def save(self, kind: str) -> None:
        """Write a checkpoint: ``last`` holds all that resuming needs, ``best`` weights alone."""
        if self.folder is None:
            return
        self.log.flush()  # what is logged of the steps before is not lost with the process
        if kind == "best":
            averaged = None if self.average is None else self.average.values
            weights = named_tensors(self.model) if averaged is None else averaged
            write_checkpoint(self.folder, kind, self.state.step, {"weights": weights}, {})
            return
        tensors, values = self._saved().as_files()
        write_checkpoint(self.folder, kind, self.state.step, tensors, values)

    def begin(self, checkpoint: Checkpoint | None = None) -> None:
        """Begin in every process where the one that leads does: at step 0, or at its checkpoint.

        Raises:
            CheckpointError: it is of another model, optimiser or precision.
        """
        told = self.fabric.broadcast(checkpoint)
        if told is not None:
            self.restore(told)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a ``last`` checkpoint.

        Raises:
            CheckpointError: it is of another model, optimiser or precision.
        """
        self.state = self._saved().restored(checkpoint)

    def _saved(self) -> SavedState:
        """All that changes while the run goes on."""
        precision = self.fabric.strategy.precision
        return SavedState(self.model, self.optimizer, self.average, precision, self.state)
