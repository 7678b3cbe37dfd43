"""From the tokens of one decision to what every head says: by torch, or by a tape of the same."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor, nn

from mtf.model.hybrid import HybridModel
from mtf.model.tape import Tape

Outputs = dict[str, dict[str, np.ndarray]]
"""Head → output → array with one row."""
Tokens = Float32[np.ndarray, "view token dim"]
Shown = Bool[np.ndarray, " token"]
AGREES = 1e-5
"""How far a tape may be from torch, of what is said where that is above 1."""
PROBES = 4


class Answer(ABC):
    """Answers what stands in the tokens that it was made for.

    Attributes:
        name: how it does it.
        note: why it is not done in a faster way; empty = there is none.
    """

    name: str
    note: str

    @abstractmethod
    def __call__(self) -> Outputs:
        """What every head says."""


class ByTorch(Answer):
    """By the model itself.

    Args:
        model: in evaluation.
        tokens: where the tokens will stand, of every way up.
        shown: where the mask will.
        note: why nothing faster is used.
    """

    name = "torch"

    def __init__(self, model: HybridModel, tokens: Tokens, shown: Shown, note: str = "") -> None:
        self.module = Flat(model)
        self.given = torch.from_numpy(tokens), torch.from_numpy(shown)
        self.note = note
        with torch.inference_mode():
            self.module(*self.given)

    @torch.inference_mode()
    def __call__(self) -> Outputs:
        """What every head says."""
        return named(self.module.names, [one.numpy() for one in self.module(*self.given)])


class ByTape(Answer):
    """By a tape.

    Args:
        model: in evaluation.
        tokens: where the tokens will stand, of every way up.
        shown: where the mask will.
    """

    name, note = "tape", ""

    def __init__(self, model: HybridModel, tokens: Tokens, shown: Shown) -> None:
        module, given = Flat(model), (torch.from_numpy(tokens), torch.from_numpy(shown))
        with torch.inference_mode():
            module(*given)
        self.names = module.names
        self.tape = Tape(module, given, fixed=1)

    def __call__(self) -> Outputs:
        """What every head says."""
        self.tape.run()
        return named(self.names, [one.copy() for one in self.tape.outputs])


class Flat(nn.Module):
    """The model from tokens to outputs, one behind the other."""

    def __init__(self, model: HybridModel) -> None:
        super().__init__()
        self.model = model
        self.names: list[tuple[str, str]] = []

    def forward(
        self, tokens: Float32[Tensor, "view token dim"], shown: Bool[Tensor, " token"]
    ) -> tuple[Tensor, ...]:
        """Outputs in the order of ``names``."""
        mask = shown.unsqueeze(0)
        over = (tokens[1:], mask) if len(tokens) > 1 else None
        said = self.model.answer(tokens[:1], mask, over=over)
        self.names = [(head, name) for head, outputs in said.items() for name in outputs]
        return tuple(output for outputs in said.values() for output in outputs.values())


def named(names: list[tuple[str, str]], outputs: list[np.ndarray]) -> Outputs:
    """Outputs by head and name."""
    found: Outputs = {}
    for (head, name), output in zip(names, outputs, strict=True):
        found.setdefault(head, {})[name] = output
    return found


def answer_of(model: HybridModel, tokens: Tokens, shown: Shown, compiled: bool = True) -> Answer:
    """The fastest answer that agrees with torch; tokens and mask are left changed.

    Args:
        model: in evaluation.
        tokens: where the tokens of decisions will stand.
        shown: where their mask will.
        compiled: False = by torch.
    """
    if not compiled:
        return ByTorch(model, tokens, shown, "a tape was not asked for")
    try:
        tape = ByTape(model, tokens, shown)
        apart = largest_difference(tape, ByTorch(model, tokens, shown), model, tokens, shown)
    except Exception as error:  # whatever a stranger's fusion or head does
        return ByTorch(model, tokens, shown, f"no tape: {type(error).__name__}: {error}")
    if not apart <= AGREES:
        return ByTorch(model, tokens, shown, f"no tape: it differs from torch by {apart:.1e}")
    return tape


def largest_difference(
    one: Answer, other: Answer, model: HybridModel, tokens: Tokens, shown: Shown
) -> float:
    """How far two answers are apart on made-up decisions that lack some tokens and streams."""
    rng, worst = np.random.default_rng(0), 0.0
    for probe in range(PROBES):
        tokens[...] = rng.normal(size=tokens.shape)
        shown[...] = rng.random(len(shown)) < 1 - probe / PROBES
        shown[first_tokens(model)] = True
        said, expected = one(), other()
        for head, outputs in expected.items():
            for name, output in outputs.items():
                size = np.maximum(np.abs(output), 1)
                apart = float((np.abs(said[head][name] - output) / size).max())
                worst = float(np.maximum(worst, apart))  # NaN stays NaN
    return worst


def first_tokens(model: HybridModel) -> list[int]:
    """The first token of every stream, which is always there, and those of side inputs."""
    firsts, place = [], 0
    for i, spec in enumerate(model.streams):
        firsts.append(place)
        place += len(model.spans(i)) + (spec.name in model.forming_streams)
    return [*firsts, *range(place, place + len(model.sides))]


__all__ = ["Answer", "Outputs", "answer_of"]
