"""What every step reads; on a device of its own, the next step's is made while it works.

Every process makes the whole batch and cuts its share out of it: which decisions it holds, what
they lose, which blocks they share is then as with one process, to the bit.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mtf.learning.objective import Counts, count_labels
from mtf.learning.panel import Panel
from mtf.learning.sampling import Sampler
from mtf.model.batch import Batch
from mtf.model.hybrid import HybridModel
from mtf.model.share import Share, each_tensor, share


@dataclass
class Fed:
    """What one process reads in a step.

    Attributes:
        given: the accumulated batches, or this process's share of each.
        counts: labels of each target, over all of them and in all processes.
        samples: decisions, alike.
    """

    given: list[Batch | Share]
    counts: Counts
    samples: int


@dataclass
class Feed:
    """Makes what steps read, as a pure function of the step.

    Attributes:
        model: whose mirror may turn decisions over.
        panel: makes the batches.
        sampler: says which decisions a step sees.
        end_ms: end of the training part.
        accumulate: batches a step.
        steps_per_epoch: optimiser steps an epoch.
        device: that reads them.
        rank: of this process.
        ranks: how many processes there are.
        ahead: make the next step's while the device works, in a thread; None = where it is no CPU,
            on which the thread would only take turns with the work.
    """

    model: HybridModel
    panel: Panel
    sampler: Sampler
    end_ms: int
    accumulate: int
    steps_per_epoch: int
    device: torch.device
    rank: int = 0
    ranks: int = 1
    ahead: bool | None = None
    _begun: dict[int, Future[Fed]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start the thread where there is one."""
        ahead = self.device.type != "cpu" if self.ahead is None else self.ahead
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="feed") if ahead else None

    def take(self, step: int) -> Fed:
        """What the step reads, on the device or on its way there."""
        begun = self._begun.pop(step, None)
        fed = self._made(step) if begun is None else begun.result()
        if self._pool is not None:
            self._begun = {step + 1: self._pool.submit(self._made, step + 1)}
        return self.moved(fed)

    def close(self) -> None:
        """End the thread."""
        self._begun = {}
        if self._pool is not None:
            self._pool.shutdown()

    def batch(self, step: int, part: int) -> Batch:
        """A batch of all processes; ``part`` counts the accumulated ones of a step."""
        epoch, sampler = step // self.steps_per_epoch, self.sampler
        batch = self.panel.build(
            sampler.times(epoch, step, part),
            sampler.symbols(epoch, step, part),
            self.end_ms,
            sampler.dropped(epoch, step, self.panel.members, part),
            sampler.untold(epoch, step, part),
            training=True,
        )
        if self.model.mirror is None:
            return batch
        return self.model.turned(batch, torch.from_numpy(sampler.turned(epoch, step, part)))

    def cut(self, batches: list[Batch]) -> Fed:
        """What this process reads of the accumulated batches of a step; pinned for a GPU."""
        counts, samples = count_labels(batches), sum(batch.size for batch in batches)
        given: list[Batch | Share] = [*batches]
        if self.ranks > 1:
            edges = self.sampler.edges(self.ranks)
            given = [share(batch, edges, self.rank) for batch in batches]
        fed = Fed(given, counts, samples)
        return each_tensor(fed, Tensor.pin_memory) if self.device.type == "cuda" else fed

    def moved(self, fed: Fed) -> Fed:
        """The same on the device; nothing waits for it."""
        return each_tensor(fed, lambda one: one.to(self.device, non_blocking=True))

    def _made(self, step: int) -> Fed:
        return self.cut([self.batch(step, part) for part in range(self.accumulate)])


__all__ = ["Fed", "Feed"]
