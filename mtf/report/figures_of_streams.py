"""Which stream matters: Shapley values, streams missing, late and frozen, who listens to whom."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from mtf.report.figures import Content, Estimates, HeatMap, Interval, Note, Section
from mtf.report.material import Material

MEAN = "mean"
DISTURBED = ("late", "frozen")
HOW_DEGRADED = "Not measured yet: mtf evaluate RUN --degraded measures missing and late streams."
HOW_ATTENTION = (
    "No attention between streams: a fusion such as attention, full, latent or two_stage has some "
    "(model.fusion.name)."
)


def stream_sections(material: Material) -> Iterator[Section]:
    """What each stream brings, then attention."""
    table = material.degraded
    content: list[Content] = [Note(HOW_DEGRADED)]
    if table is not None and len(table):
        content = [one for of in shown(table) for one in degraded_figures(of)]
    yield Section("What each stream brings", content)
    attention = material.attention
    layers: list[Content] = [Note(HOW_ATTENTION)]
    if attention is not None and len(attention):
        layers = [layer_map(rows) for _, rows in attention.groupby("layer", sort=False)]
    yield Section("Attention between streams", layers)


def shown(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Rows of one target a head: its only one, or the mean over all."""
    for _, rows in table.groupby("head", sort=False):
        targets = list(rows["target"].unique())
        yield rows[rows["target"] == (MEAN if MEAN in targets else targets[0])]


def degraded_figures(rows: pd.DataFrame) -> Iterator[Content]:
    """Shapley values with intervals, and the value without, with late and with frozen streams."""
    head, target = str(rows["head"].iloc[0]), str(rows["target"].iloc[0])
    name = head if head == target or not target else f"{head} ({target})"
    measure = str(rows["measure"].iloc[0])
    brought = rows[rows["kind"] == "shapley"]
    found = {
        str(row["streams"]): Interval(*(float(row[of]) for of in ("value", "low", "high")))
        for row in brought.to_dict("records")
    }
    note = "They sum to the value with all streams less that with none; intervals over whole days."
    label = f"part of {measure}"
    yield Estimates(f"{name}: Shapley values", found, label, False, True, note)
    yield disturbed_map(rows, name, measure, list(found))


def disturbed_map(rows: pd.DataFrame, name: str, measure: str, streams: list[str]) -> HeatMap:
    """A row a stream: the value with it alone, without it, with it late and frozen."""
    known = {
        (str(row["kind"]), frozenset(str(row["streams"]).split("+")), int(row["slots"])): float(
            row["value"]
        )
        for row in rows.to_dict("records")
    }
    everything = frozenset(streams)
    slots = sorted({slots for kind, _, slots in known if kind in DISTURBED})
    names = ["all", "only it", "without it"]
    names += [f"{kind} {count}" for kind in DISTURBED for count in slots]
    values = np.full((len(streams), len(names)), np.nan)
    for i, stream in enumerate(streams):
        one = frozenset({stream})
        without = everything - one or frozenset({""})
        cells = [("present", everything, 0), ("present", one, 0), ("present", without, 0)]
        cells += [(kind, one, count) for kind in DISTURBED for count in slots]
        values[i] = [known.get(cell, np.nan) for cell in cells]
    return HeatMap(
        f"{name}: value with streams missing, late and frozen",
        values,
        streams,
        names,
        "stream",
        note=f"Value: {measure}. Late and frozen by so many candles of the stream.",
    )


def layer_map(rows: pd.DataFrame) -> HeatMap:
    """How much each stream listens to each, and what even reading would give."""
    layer = str(rows["layer"].iloc[0])
    asking, answering = ([*dict.fromkeys(map(str, rows[of]))] for of in ("asking", "answering"))
    records = rows.to_dict("records")
    weights = {(str(row["asking"]), str(row["answering"])): float(row["weight"]) for row in records}
    even = {str(row["answering"]): float(row["even"]) for row in records}
    values = [[weights.get((one, other), np.nan) for other in answering] for one in asking]
    values.append([even[other] for other in answering])
    return HeatMap(
        f"{layer}: share of attention",
        np.array(values, dtype=np.float64),
        [*asking, "(even)"],
        answering,
        "asking",
        "answering",
        form=".2f",
        note="Rows sum to 1; (even) is what reading every token alike would give.",
    )


__all__ = ["degraded_figures", "layer_map", "shown", "stream_sections"]
