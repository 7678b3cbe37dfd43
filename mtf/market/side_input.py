"""The socket for side inputs: what a model reads beside candles (``mtf.plugins.contracts``)."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float32, Int64

from mtf.errors import PluginError
from mtf.market.asof import Known
from mtf.market.stream import StreamSpec
from mtf.market.timeframe import Timeframe
from mtf.market.world import World

Values = Float32[np.ndarray, "decision time element"]
Valid = Bool[np.ndarray, "decision time element"]
Presence = Mapping[str, Bool[np.ndarray, " decision"]]
"""Stream name → which decisions have it."""


@dataclass(frozen=True)
class SideContext:
    """What mtf tells a side input about the run.

    Attributes:
        symbol: the primary symbol.
        streams: the streams in order.
        clock: the timeframe at whose closes decisions are made.
        seed: of the run, for what is drawn at training.
    """

    symbol: str
    streams: tuple[StreamSpec, ...]
    clock: Timeframe
    seed: int = 0


@dataclass(frozen=True)
class Moments:
    """Decisions that are asked about, and what is known at each.

    Attributes:
        world: the market; only what is known at a time may be read for it.
        times: decision times in ms.
        known: what is known of every stream at ``times``.
        training: whether the decisions are learned from: what a market can't tell (a position) is
            drawn then, as a pure function of the seed and the decision.
    """

    world: World
    times: Int64[np.ndarray, " decision"]
    known: Mapping[str, Known]
    training: bool = False


class SideInput(ABC):
    """A vector, or a few steps of one, that a model reads beside candles.

    An element is invalid where it is not known; it is masked with every stream that it is computed
    from. Constructor: ``(context: SideContext, *, config keys)``.
    """

    elements: Mapping[str, str]
    """Name of each element → what it means, in order."""
    time: int = 1
    """Steps, oldest first; 1 = a vector."""
    sources: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """Element → names of the streams that it is computed from; those left out have none."""
    history: Mapping[str, int] = MappingProxyType({})
    """Stream → its slots up to the last one that must be loaded before the first decision."""

    @abstractmethod
    def at(self, moments: Moments) -> tuple[Values, Valid]:
        """Values and which are there, ``[decision, time, element]``; nothing known after t."""

    def fingerprint(self) -> str:
        """Tells other data from files of its own apart; empty = it reads none."""
        return ""


def checked(
    name: str, side: SideInput, values: np.ndarray, valid: np.ndarray, decisions: int
) -> tuple[Values, Valid]:
    """What a side input said, or its caller, in the shape that it promises.

    Raises:
        PluginError: another shape.
    """
    wanted = (decisions, side.time, len(side.elements))
    if values.shape != wanted or valid.shape != wanted:
        raise PluginError(
            f"side input {name!r} ({type(side).__name__}) has values of shape "
            f"{list(values.shape)} and a mask of {list(valid.shape)}",
            f"[decision, time, element] = {list(wanted)} of both",
            "mend its at(), or what was given in its place",
        )
    return values.astype(np.float32, copy=False), valid.astype(np.bool_, copy=False)


def masked(side: SideInput, valid: Valid, present: Presence) -> Valid:
    """The elements that are left where some decisions lack some streams."""
    left = valid.copy()
    for index, element in enumerate(side.elements):
        for stream in side.sources.get(element, ()):
            left[:, :, index] &= present[stream][:, None]
    return left


def with_history(
    required_slots: Mapping[str, int], sides: Mapping[str, SideInput]
) -> dict[str, int]:
    """Slots of each stream to load before the first decision, those of side inputs included."""
    wanted = [side.history for side in sides.values()]
    return {
        stream: max([slots, *(one.get(stream, 0) for one in wanted)])
        for stream, slots in required_slots.items()
    }


def joint_fingerprint(candles: str, sides: Mapping[str, SideInput]) -> str:
    """The fingerprint of all data: that of the candles alone where no side input reads a file."""
    own = {name: side.fingerprint() for name, side in sides.items()}
    if not any(own.values()):
        return candles
    said = [candles, *(f"{name} {own[name]}" for name in sorted(own))]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


__all__ = [
    "Moments",
    "Presence",
    "SideContext",
    "SideInput",
    "Valid",
    "Values",
    "checked",
    "joint_fingerprint",
    "masked",
    "with_history",
]
