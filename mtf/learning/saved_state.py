"""All that changes while a run goes on, as the files of a checkpoint and back, bit for bit.

The learning rate, the batches and the masks are not here: they are functions of seed, epoch and
step. Nor is anything of the data, which the run checks by its fingerprint.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, nn

from mtf.errors import CheckpointError
from mtf.learning.checkpoint import Checkpoint
from mtf.learning.optimise import WeightAverage, named_tensors, set_tensors

Groups = dict[str, dict[str, Tensor]]
"""File stem → tensor name → tensor."""


@dataclass
class State:
    """How far a run is; all of it is saved. Only the seconds vary from machine to machine."""

    epoch: int = 0
    step: int = 0
    best_loss: float = math.inf
    best_epoch: int = -1
    stale_epochs: int = 0
    loss_sum: float = 0.0
    loss_steps: int = 0
    finished: bool = False
    samples: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The state as JSON has it, without infinity."""
        best = None if math.isinf(self.best_loss) else self.best_loss
        return {**asdict(self), "best_loss": best}

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> State:
        """The state of a ``last`` checkpoint.

        Raises:
            CheckpointError: something else wrote it.
        """
        values = checkpoint.state.items()
        return cls.from_json({name: value for name, value in values if name != "scaler"})

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> State:
        """The state that ``as_json`` wrote.

        Raises:
            CheckpointError: something else wrote it.
        """
        given = dict(values)
        if given.get("best_loss", 0.0) is None:
            given["best_loss"] = math.inf
        wanted = {one.name: type(getattr(cls(), one.name)) for one in fields(cls)}
        wrong = sorted(wanted.keys() ^ given.keys())
        wrong += [name for name, kind in wanted.items() if type(given.get(name)) is not kind]
        if wrong:
            raise _foreign(f"a state.json with an unusable or unknown {wrong[0]!r}")
        return cls(**given)


@dataclass(frozen=True)
class SavedState:
    """What a checkpoint holds of a run, where it lives while the run goes on.

    Attributes:
        model: with its heads.
        optimizer: plain or as Fabric wraps it.
        average: of the weights, where one is kept.
        precision: Fabric's; with 16-mixed it scales gradients by a number that changes.
        state: how far the run is.
    """

    model: nn.Module
    optimizer: Any
    average: WeightAverage | None
    precision: Any
    state: State

    def as_files(self) -> tuple[Groups, dict[str, Any]]:
        """Tensors by file, and the JSON part."""
        tensors = {
            "weights": named_tensors(self.model),
            "optimizer": _optimizer_tensors(self.optimizer),
            "random": _random_state(self._device()),
        }
        if self.average is not None:
            tensors["average"] = self.average.values
        return tensors, {**self.state.as_json(), "scaler": dict(self.precision.state_dict())}

    def restored(self, checkpoint: Checkpoint) -> State:
        """Put everything back to where the checkpoint left it.

        Returns:
            How far the run was.

        Raises:
            CheckpointError: it is of another model, optimiser or precision.
        """
        tensors, state = checkpoint.tensors, State.of(checkpoint)
        wanted = {"weights", "optimizer", "random"} | ({"average"} if self.average else set())
        if tensors.keys() != wanted:
            raise _foreign(
                f"files of {', '.join(sorted(tensors))}, not {', '.join(sorted(wanted))}"
            )
        self._restore_scaler(checkpoint.state.get("scaler"))
        set_tensors(self.model, tensors["weights"])
        _restore_optimizer(self.optimizer, tensors["optimizer"])
        if self.average is not None:
            self.average.set(tensors["average"])
        _restore_random(tensors["random"], self._device())
        return state

    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _restore_scaler(self, saved: Any) -> None:
        """The scale of gradients, and how long it has not been lowered."""
        own = dict(self.precision.state_dict())
        if not isinstance(saved, dict) or saved.keys() != own.keys():
            raise _foreign("a scale of gradients that is not that of this fabric.precision")
        if any(type(saved[name]) is not type(own[name]) for name in own):
            raise _foreign("a scale of gradients that is no number")
        self.precision.load_state_dict(saved)


def _optimizer_tensors(optimizer: Any) -> dict[str, Tensor]:
    """The optimiser's state as flat names, ``<parameter index>.<name>``."""
    states = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, values in states.items()
        for name, value in values.items()
    }


def _restore_optimizer(optimizer: Any, tensors: Mapping[str, Tensor]) -> None:
    """Put flat state back; every tensor is a number or as large as its parameter."""
    sizes = [parameter.shape for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        fits = index.isascii() and index.isdigit() and len(index) < 10 and int(index) < len(sizes)
        if not fits or value.shape not in (torch.Size(), sizes[int(index)]):
            raise _foreign(f"an optimiser's {key!r} that no parameter has")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _random_state(device: torch.device) -> dict[str, Tensor]:
    """The generators that dropout draws from."""
    states = {"torch": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _restore_random(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Go on drawing where the run was; another kind of device draws other numbers anyway."""
    try:
        torch.set_rng_state(states["torch"])
        if device.type == "cuda" and "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"], device)
    except (LookupError, RuntimeError, TypeError) as error:
        raise _foreign(f"a random state that torch can't use ({error})") from error


def _foreign(what: str) -> CheckpointError:
    """The error for a checkpoint that is sound, but not of this run."""
    return CheckpointError(
        f"the checkpoint has {what}",
        "a checkpoint of the model, optimiser and precision that config.yaml describes",
        "use the versions and the kind of device named in environment.json, or train again",
    )
