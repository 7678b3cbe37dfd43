"""Forecasts as figures: scores beside the baselines, confusion, and whether probabilities hold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from mtf.predictions import Predictions
from mtf.report.figures import (
    Content,
    Estimates,
    HeatMap,
    Interval,
    Line,
    Lines,
    Note,
    Section,
    Table,
)
from mtf.report.material import Material
from mtf.report.scores import ORACLE, Beside, Score, scores
from mtf.report.terminal import SURE, number, spoken

SIDES = ("buy", "sell", "hold")
BINS = 10
LEAST = 2
"""Decisions in a bin of the reliability diagram, at least."""
HOW = "Nothing was evaluated yet: mtf evaluate RUN measures the forecasts."


def forecast_sections(material: Material) -> Iterator[Section]:
    """Scores of every head; what the action's probabilities are worth, a symbol at a time."""
    if material.metrics is None:
        yield Section("Forecasts", [Note(HOW)])
        return
    found = list(scores(material.metrics, material.part))
    charts = [score_bars(one) for one in found if one.baselines and one.metrics]
    yield Section(
        f"Forecasts on the {material.part} part", [summary(found), *charts, all_metrics(found)]
    )
    actions = [content for said in material.predictions for content in action_content(said)]
    missing = Note("No predictions of the head action: it is not part of this run.")
    yield Section("Action: confusion and calibration", actions or [missing])


def summary(found: Sequence[Score]) -> Table:
    """A row a target: its primary metric, and what it beats and loses to."""
    header = ["", "metric", "model", "decisions", "distinct", "beside the baselines"]
    others = list(dict.fromkeys(name for one in found for name in one.others))
    rows = [
        [*_summary_row(one), *(number(one.others.get(k, math.nan)) for k in others)]
        for one in found
    ]
    bad = frozenset(i for i, one in enumerate(found) if one.losing)
    note = (
        "95 % intervals over distinct outcomes in brackets: decisions that share an outcome count "
        "once. p of a two-sided paired test; marked rows lose to a baseline."
    )
    return Table("Every head", [*header, *map(spoken, others)], rows, bad, note)


def _summary_row(one: Score) -> list[str]:
    figure = one.metrics.get(one.primary)
    told = "no decision has a label" if figure is None else with_interval(figure)
    said = "; ".join(beside_words(name, of) for name, of in one.baselines.items())
    return [one.name, spoken(one.primary), told, f"{one.n:,}", f"{one.n_distinct:,}", said]


def beside_words(name: str, of: Beside) -> str:
    """``beats class prior (p=0.003)``."""
    if of.beaten is None:
        return f"can't be compared with {spoken(name)}"
    if of.difference == 0:
        return f"equals {spoken(name)}"
    if name == ORACLE:
        return "the oracle, who knows the law of this market, is the limit"
    chance = ", may be chance" if of.p_two_sided > SURE else ""
    sure = f" (p={of.p_two_sided:.2g}{chance})" if math.isfinite(of.p_two_sided) else ""
    return f"{'beats' if of.beaten else 'LOSES to'} {spoken(name)}{sure}"


def with_interval(figure: Interval) -> str:
    """``0.0613 [0.0402, 0.0831]``."""
    if not math.isfinite(figure.low):
        return number(figure.value)
    return f"{number(figure.value)} [{number(figure.low)}, {number(figure.high)}]"


def score_bars(one: Score) -> Estimates:
    """The primary metric of the model and of every baseline, with intervals."""
    found = {"model": one.metrics[one.primary]}
    found |= {
        spoken(name): of.metrics[one.primary]
        for name, of in one.baselines.items()
        if one.primary in of.metrics
    }
    label = spoken(one.primary)
    note = "; ".join(beside_words(name, of) for name, of in one.baselines.items())
    return Estimates(f"{one.name}: {label}", found, label, note=note)


def all_metrics(found: Sequence[Score]) -> Table:
    """Every metric of every target, and those of the baselines beside it."""
    names = list(dict.fromkeys(name for one in found for name in one.baselines))
    rows = []
    for one in found:
        for metric, figure in one.metrics.items():
            beside = [
                number(one.baselines[name].metrics[metric].value)
                if name in one.baselines and metric in one.baselines[name].metrics
                else ""
                for name in names
            ]
            rows.append([one.name, spoken(metric), with_interval(figure), *beside])
    return Table("All metrics", ["", "metric", "model", *map(spoken, names)], rows)


def action_content(said: Predictions) -> Iterator[Content]:
    """Confusion and reliability of the action, and of the confidence where there is one."""
    columns = [f"action.prob_{side}" for side in SIDES]
    if not all(name in said.arrays for name in (*columns, "action.label_class")):
        return
    labels = said.arrays["action.label_class"].astype(np.float64)
    known: Bool[np.ndarray, " decision"] = np.isfinite(labels)
    probs = np.stack([said.arrays[name] for name in columns], axis=1)[known].astype(np.float64)
    happened = labels[known].astype(np.int64)
    if not len(happened):
        yield Note(f"No decision about {said.symbol} has a label.")
        return
    right = probs.argmax(axis=1) == happened
    yield confusion(probs, happened, said.symbol)
    lines = [reliability("chosen action", probs.max(axis=1), right)]
    if "confidence.confidence" in said.arrays:
        confidence = said.arrays["confidence.confidence"][known].astype(np.float64)
        lines.append(reliability("confidence head", confidence, right))
    yield reliability_figure(f"{said.symbol}: is the chosen action as often right as said?", lines)
    sides = [
        reliability(side, probs[:, index], happened == index) for index, side in enumerate(SIDES)
    ]
    yield reliability_figure(f"{said.symbol}: does each class come as often as said?", sides)


def confusion(
    probs: Float[np.ndarray, "decision 3"], happened: Int64[np.ndarray, " decision"], symbol: str
) -> HeatMap:
    """How often each action was chosen where each class happened, in % of all decisions."""
    counts = np.zeros((3, 3))
    np.add.at(counts, (happened, probs.argmax(axis=1)), 1)
    return HeatMap(
        f"{symbol}: what happened against what was chosen, % of decisions",
        100 * counts / max(len(happened), 1),
        [f"{side} happened" for side in SIDES],
        [f"{side} chosen" for side in SIDES],
        form=".1f",
        note=f"{len(happened):,} decisions; the diagonal was right.",
    )


def reliability(
    name: str, said: Float64[np.ndarray, " decision"], came: Bool[np.ndarray, " decision"]
) -> Line:
    """Share that came against the probability that was said, in bins of equally many decisions.

    The band is a 95 % Wilson interval as if decisions were independent: those that share an
    outcome are not, so it is too narrow rather than too wide.
    """
    order = np.argsort(said, kind="stable")
    cuts = np.array_split(order, min(BINS, max(1, len(order) // LEAST)))
    means = np.array([said[rows].mean() for rows in cuts])
    shares = np.array([came[rows].mean() for rows in cuts])
    counts = np.array([len(rows) for rows in cuts], dtype=np.float64)
    low, high = wilson(shares, counts)
    told = [f"{int(count):,} decisions" for count in counts]
    return Line(name, means, shares, low, high, style="both", told=told)


def wilson(
    share: Float64[np.ndarray, " bin"], count: Float64[np.ndarray, " bin"], z: float = 1.96
) -> tuple[Float64[np.ndarray, " bin"], Float64[np.ndarray, " bin"]]:
    """Interval of a share (Wilson, 1927): (p + z²/2n ± z·√(p(1-p)/n + z²/4n²)) / (1 + z²/n)."""
    z2 = z * z / count
    half = z * np.sqrt(share * (1 - share) / count + z2 / (4 * count))
    return (share + z2 / 2 - half) / (1 + z2), (share + z2 / 2 + half) / (1 + z2)


def reliability_figure(title: str, lines: Sequence[Line]) -> Lines:
    """Lines of reliability with the diagonal on which they should lie."""
    every = np.concatenate([np.concatenate([one.x, one.y]) for one in lines])
    ends = np.array([every.min(), every.max()])
    diagonal = Line("as said", ends, ends, style="dashed", role="reference")
    note = (
        "Bins of equally many decisions; below the diagonal it promised too much. Bands take "
        "decisions as independent, so they are too narrow."
    )
    return Lines(title, [diagonal, *lines], "probability said", "share that came", note=note)


__all__ = [
    "confusion",
    "forecast_sections",
    "reliability",
    "score_bars",
    "summary",
    "wilson",
    "with_interval",
]
