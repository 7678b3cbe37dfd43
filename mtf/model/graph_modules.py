"""The modules that graphs are traced from: a model that takes its inputs one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mtf.market.forming import CHANNELS
from mtf.model.hybrid import HybridModel, Pooled
from mtf.model.mirror import FORMING, turn
from mtf.model.tokens import Spans
from mtf.plugins.contracts import Encoder


@dataclass(frozen=True)
class Asked:
    """What a model is asked about besides candles, which its graphs need as inputs.

    Attributes:
        channels: feature channels of each stream.
        sides: steps and elements of each side input.
        panel: whether the model is told the symbol of a decision.
    """

    channels: Mapping[str, int]
    sides: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    panel: bool = False


def pool_windows(
    encoded: Float[Tensor, "decision slot dim"],
    seen: Bool[Tensor, "decision slot"],
    spans: Spans,
) -> tuple[Float[Tensor, "decision token dim"], Bool[Tensor, "decision token"]]:
    """What ``tokens.pool`` says of windows that end at the last slot, as one product of matrices.

    Tokens of one slot each are taken as they are.
    """
    slots = encoded.shape[1]
    if all(oldest - newest == 1 for newest, oldest in spans):
        chosen = torch.tensor([slots - oldest for _, oldest in spans])
        mask = seen[:, chosen]
        return torch.where(mask.unsqueeze(-1), encoded[:, chosen], 0.0), mask
    age, edges = torch.arange(slots - 1, -1, -1), torch.tensor(spans)
    inside = (edges[:, :1] <= age) & (age < edges[:, 1:])
    taken = (inside & seen.unsqueeze(1)).to(encoded.dtype)
    count = taken.sum(-1)
    sums = taken @ torch.where(seen.unsqueeze(-1), encoded, 0.0)
    return sums / count.clamp(min=1).unsqueeze(-1), count > 0


def spans_of(model: HybridModel, index: int) -> Spans:
    """The spans of a stream's tokens as plain numbers."""
    return tuple((int(newest), int(oldest)) for newest, oldest in model.spans(index))


class Whole(nn.Module):
    """A model that is given its inputs one by one, in the order of ``examples``.

    What stands beside tokens comes stream by stream in one tensor, and tokens of all streams are
    dressed at once: a graph of few large operations answers one decision in half the time.
    """

    token_stream: Tensor
    first: Tensor
    place: Tensor

    def __init__(self, model: HybridModel, asked: Asked) -> None:
        super().__init__()
        self.model, self.asked = model, asked
        self.spans = [spans_of(model, index) for index in range(len(model.streams))]
        self._lay_out()
        self.names = list(self.examples(1))
        with torch.no_grad():
            self.outputs = list(self._said(self.examples(1)))

    def _lay_out(self) -> None:
        """Where tokens stand: bare ones of all streams first, at last stream by stream."""
        token_stream = [index for index, spans in enumerate(self.spans) for _ in spans]
        first = [stream != before for before, stream in pairwise([-1, *token_stream])]
        forming = [index for index, spec in enumerate(self.model.streams) if self._forms(spec.name)]
        order = [*token_stream, *forming]
        self.register_buffer("token_stream", torch.tensor(token_stream))
        self.register_buffer("first", torch.tensor(first))
        self.register_buffer("place", torch.tensor(order).argsort(stable=True))

    def _forms(self, stream: str) -> bool:
        return stream in self.model.forming_streams

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        """What every head says, in the order of ``outputs``."""
        return list(self._said(dict(zip(self.names, inputs, strict=True))).values())

    def _said(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        views = [self._dressed(given, *self.bare(given, False), over=False)]
        if self.model.mirror is not None:
            views.append(self._dressed(given, *self.bare(given, True), over=True))
        answer = self.model.answer(*views[0], over=views[1] if len(views) > 1 else None)
        return {f"{head}.{name}": said[name] for head, said in answer.items() for name in said}

    def bare(self, given: Mapping[str, Tensor], over: bool) -> Pooled:
        """The bare tokens of all streams; ``over``: upside down."""
        raise NotImplementedError

    def of_slots(self, batch: int) -> dict[str, Tensor]:
        """The inputs by which slots come in."""
        raise NotImplementedError

    def examples(self, batch: int) -> dict[str, Tensor]:
        """Inputs by name, of so many decisions."""
        streams, forming = len(self.spans), len(self.model.forming_streams)
        found = self.of_slots(batch)
        found["present"] = torch.ones(batch, streams, dtype=torch.bool)
        found["log_sigma"], found["age"] = torch.zeros(2, batch, streams).unbind()
        if forming:
            found["forming"] = torch.zeros(batch, forming, CHANNELS)
            found["forming_there"] = torch.ones(batch, forming, dtype=torch.bool)
        for name, shape in self.asked.sides.items():
            found[f"side/{name}/values"] = torch.zeros(batch, *shape)
            found[f"side/{name}/valid"] = torch.ones(batch, *shape, dtype=torch.bool)
        if self.asked.panel:
            found["symbol"] = torch.zeros(batch, dtype=torch.int64)
        return found

    def _dressed(
        self, given: Mapping[str, Tensor], x: Tensor, mask: Tensor, *, over: bool
    ) -> Pooled:
        """All tokens embedded, as ``HybridModel.dressed`` does stream by stream."""
        members = self.token_stream.unsqueeze(1) == torch.arange(len(self.spans))
        shown = given["present"] & ((mask.to(x.dtype) @ members.to(x.dtype)) > 0)
        origin = self._origin(given.get("symbol"))
        about = origin + self._report(given, shown)
        x = x + self._position() + about.index_select(1, self.token_stream)
        absent = ~shown.index_select(1, self.token_stream)
        lost = (self.model.embeddings.missing + origin).index_select(-2, self.token_stream)
        x = torch.where((absent & self.first).unsqueeze(-1), lost, x)
        parts = [(x, (absent & self.first) | (mask & ~absent))]
        if self.model.forming_streams:
            parts.append(self._forming(given, origin, over))
        x, mask = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        if len(parts) > 1:
            x, mask = (part.index_select(1, self.place) for part in (x, mask))
        return self._with_sides(given, x, mask)

    def _origin(self, symbol: Tensor | None) -> Tensor:
        """Of every stream, of every decision where that is told its symbol."""
        embeddings = self.model.embeddings
        found = [embeddings.origin(index, symbol) for index in range(len(self.spans))]
        return torch.stack(torch.broadcast_tensors(*found), dim=-2)

    def _report(self, given: Mapping[str, Tensor], shown: Tensor) -> Tensor:
        """What every stream reports of itself."""
        report = [one for one in self.model.embeddings.report if isinstance(one, nn.Linear)]
        by_sigma, by_age = torch.stack([linear.weight for linear in report]).unbind(-1)
        bias = torch.stack([linear.bias for linear in report])
        sigma, age = (
            torch.where(shown, given[name], 0.0).unsqueeze(-1) for name in ("log_sigma", "age")
        )
        return sigma * by_sigma + age * by_age + bias

    def _position(self) -> Tensor | float:
        """Of every token by the ages of its slots."""
        embeddings = self.model.embeddings
        if embeddings.span is None:
            return 0.0
        ages = [getattr(embeddings, f"ages_{index}") for index in range(len(self.spans))]
        position: Tensor = embeddings.span(torch.cat(ages))
        return position

    def _forming(self, given: Mapping[str, Tensor], origin: Tensor, over: bool) -> Pooled:
        """The tokens of the candles that are not closed yet."""
        assert self.model.forming is not None
        rows = [i for i, spec in enumerate(self.model.streams) if self._forms(spec.name)]
        there = given["present"][:, rows] & given["forming_there"]
        candle = torch.where(there.unsqueeze(-1), given["forming"], 0.0)
        candle = turn(candle, FORMING) if over else candle
        tokens = self.model.forming(candle.flatten(0, 1)).view(*candle.shape[:2], -1)
        return tokens + origin[..., rows, :], there

    def _with_sides(self, given: Mapping[str, Tensor], x: Tensor, mask: Tensor) -> Pooled:
        """With a token of every side input behind them, which says itself where there is none."""
        for name, reader in self.model.sides.items():
            token = reader(given[f"side/{name}/values"], given[f"side/{name}/valid"])
            x, mask = torch.cat([x, token], 1), F.pad(mask, (0, 1), value=True)
        return x, mask


class FromTokens(Whole):
    """From the bare tokens on."""

    def of_slots(self, batch: int) -> dict[str, Tensor]:
        """Tokens, their mask, and tokens upside down where the model has a mirror."""
        shape = batch, len(self.token_stream), self.model.embeddings.missing.shape[-1]
        found = {"tokens": torch.zeros(shape), "mask": torch.ones(shape[:2], dtype=torch.bool)}
        return found | ({} if self.model.mirror is None else {"over": torch.zeros(shape)})

    def bare(self, given: Mapping[str, Tensor], over: bool) -> Pooled:
        """As they were given."""
        return given["over" if over else "tokens"], given["mask"]


class FromWindows(Whole):
    """From windows of features on."""

    def of_slots(self, batch: int) -> dict[str, Tensor]:
        """Features and validity of every stream's window."""
        found = {}
        for spec in self.model.streams:
            shape = batch, self.model.required_slots(spec.name), self.asked.channels[spec.name]
            found[f"{spec.name}/values"] = torch.zeros(shape)
            found[f"{spec.name}/valid"] = torch.ones(shape[:2], dtype=torch.bool)
        return found

    def bare(self, given: Mapping[str, Tensor], over: bool) -> Pooled:
        """Encoded and pooled, stream by stream."""
        parts = [self._of_stream(given, index, over) for index in range(len(self.spans))]
        tokens, mask = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        return tokens, mask

    def _of_stream(self, given: Mapping[str, Tensor], index: int, over: bool) -> Pooled:
        """As ``HybridModel.pooled``, of windows that a decision sees whole or not at all."""
        name = self.model.streams[index].name
        seen = given[f"{name}/valid"] & given["present"][:, index : index + 1]
        x = torch.where(seen.unsqueeze(-1), given[f"{name}/values"], 0.0)
        if over:
            assert self.model.mirror is not None
            x = turn(x, self.model.mirror.turned[name])
        return pool_windows(self.model.encoders[index](x, seen), seen, self.spans[index])


class Step(nn.Module):
    """One slot of one history."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor, valid: Tensor, *state: Tensor) -> list[Tensor]:
        """The encoded slot, then the next state."""
        encoded, after = self.encoder.step(x, valid, state)
        return [encoded, *after]


__all__ = ["Asked", "FromTokens", "FromWindows", "Step", "pool_windows"]
