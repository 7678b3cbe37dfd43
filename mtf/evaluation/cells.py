"""The conditions under which a model is measured: which streams are there, late, or frozen.

A stream that is derived from another (``from:``) goes with its source: it is absent where that one
is, and late or frozen with it, never by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from mtf.market.stream import StreamSpec

Kind = Literal["present", "late", "frozen"]
SLOTS = (1, 2, 5, 15)
"""By how many of its own candles a stream is late, or for how many it has been frozen."""


@dataclass(frozen=True)
class Cell:
    """One condition.

    Attributes:
        kind: ``present``: only ``streams`` are there. ``late``: all are there, but the last
            ``slots`` candles of the stream have not arrived. ``frozen``: all are there, but its
            last ``slots`` candles repeat the close before them, without volume.
        streams: those present, in the order of the config; or the one that is late or frozen.
        slots: how many candles are late or frozen; 0 where none is.
    """

    kind: Kind
    streams: tuple[str, ...]
    slots: int = 0

    @property
    def stream(self) -> str:
        """The one that is late or frozen."""
        (name,) = self.streams
        return name

    def __str__(self) -> str:
        """Such as ``1m + btc``, ``none``, ``1m late by 5``, ``btc frozen for 15``."""
        names = " + ".join(self.streams) or "none"
        if self.kind == "present":
            return names
        return f"{names} {self.kind} {'by' if self.kind == 'late' else 'for'} {self.slots}"


def present_cell(specs: Sequence[StreamSpec], names: Collection[str]) -> Cell:
    """The cell of some streams that are there, without those whose source is not."""
    there = [
        spec.name
        for spec in specs
        if spec.name in names and (spec.derived_from is None or spec.derived_from in names)
    ]
    return Cell("present", tuple(there))


def disturbed_cells(specs: Sequence[StreamSpec], slots: Sequence[int] = SLOTS) -> list[Cell]:
    """Each delivered stream late and frozen, by each number of candles."""
    return [
        Cell(kind, (spec.name,), count)
        for kind in ("late", "frozen")
        for spec in specs
        if spec.derived_from is None
        for count in slots
    ]


def goes_stale(specs: Sequence[StreamSpec], cell: Cell) -> bool:
    """Whether a late stream is too old to be shown at any decision: it is absent then."""
    if cell.kind != "late":
        return False
    (spec,) = (spec for spec in specs if spec.name == cell.streams[0])
    return cell.slots > spec.max_age


__all__ = ["SLOTS", "Cell", "Kind", "disturbed_cells", "goes_stale", "present_cell"]
