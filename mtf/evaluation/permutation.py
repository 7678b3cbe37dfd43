"""Is what was said related to what happened at all? A block permutation test of any head.

What happened is dealt out anew among what was said, 999 times, and the head's primary metric is
computed each time: p is the share of these that are at least as good as the truth, the truth among
them. A forecast that says the same whatever happens gets p = 1, a biased one that is right about
the order of things a small p: the test asks whether there is anything, not whether it pays.

One decision stands for each distinct outcome, the first of them: 1,440 decisions about one daily
candle are one observation. Neighbours are alike in what was said and in what happened (both follow
a slow volatility regime), so whole blocks of consecutive outcomes are moved. The variance of the
statistic, were the two unrelated, is that of the sum of their *interaction*: the part of each
decision's share in the metric that neither what was said nor what happened explains alone. Blocks
must be as long as that is correlated: twice what estimates its variance best (``dependence``), for
validity needs longer blocks than precision; at least round(n^(1/3)) outcomes, at most a sixth of
them. Of two unrelated AR(1) series with φ = 0.95 and 500 outcomes 7 % are then found at 5 %, where
blocks of n^(1/3) find 22 %. Few blocks have few orders: p is never below 1 / blocks!.

What it does not see: dependence so slow that the sample holds only some cycles of it, such as a
trend in both; and what a metric of all decisions together (ranks) owes to the other decisions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from mtf.evaluation.dependence import automatic_length
from mtf.evaluation.pairing import Outcomes, Pairing, pairing_of
from mtf.market.blocks import block_length, shuffled_rows
from mtf.market.labels import Label
from mtf.plugins.contracts import Arrays, Head

PERMUTATIONS = 999
SAFETY = 2.0
"""Blocks are so many times as long as the automatic choice …"""
FEWEST = 6
"""… but there are at least so many, unless those of n^(1/3) are fewer."""
PAIRINGS = 16
"""Random dealings that tell what of the metric what was said, or what happened, explains alone."""


@dataclass(frozen=True)
class Permuted:
    """What the test found.

    Attributes:
        p: of a primary metric at least this good if nothing were related; NaN where not tested.
        outcomes: distinct outcomes that were dealt out.
        block: outcomes a block.
        reason: why there is no p; empty where there is one.
    """

    p: float
    outcomes: int = 0
    block: int = 0
    reason: str = ""


def permutation_test(
    head: Head,
    target: str,
    outputs: Arrays,
    label: Label,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Permuted:
    """Test one target of a head.

    Args:
        head: whose primary metric is the statistic.
        target: one of its targets.
        outputs: what was said, symbol by symbol in the order of time.
        label: what happened; all decisions have a label.
        permutations: how often it is dealt out anew; 0 = no test.
        seed: of the dealing.
    """
    if not permutations:
        return Permuted(math.nan, reason="no permutations were asked for")
    rows = first_decisions(label.group)
    if len(rows) < 2:
        return Permuted(math.nan, len(rows), reason="fewer than two outcomes to deal out")
    pairing, reason = pairing_of(head, target, outputs, label, rows)
    if pairing is None:
        return Permuted(math.nan, len(rows), reason=reason)
    return _tested(pairing, permutations, np.random.default_rng(seed))


def first_decisions(group: Int64[np.ndarray, " decision"]) -> Outcomes:
    """The first decision about each distinct outcome, in the order of ids; one column a symbol.

    Where ids fall another symbol begins. Ids that not all symbols have are left out: all that
    happened at one time is moved together.
    """
    if not len(group):
        return np.zeros((0, 1), dtype=np.int64)
    borders = np.flatnonzero(np.diff(group) < 0) + 1
    parts = np.split(np.arange(len(group)), borders)
    firsts = [np.unique(group[part], return_index=True) for part in parts]
    shared = firsts[0][0]
    for ids, _ in firsts[1:]:
        shared = np.intersect1d(shared, ids, assume_unique=True)
    columns = [
        part[at[np.searchsorted(ids, shared)]]
        for part, (ids, at) in zip(parts, firsts, strict=True)
    ]
    return np.stack(columns, axis=1)


def _tested(pairing: Pairing, permutations: int, random: np.random.Generator) -> Permuted:
    """Deal out and count."""
    n = pairing.outcomes
    observed = float(pairing.values(pairing.shares(np.arange(n)[None]).sum(axis=(1, 2)))[0])
    if not np.isfinite(observed):
        return Permuted(math.nan, n, reason="the primary metric is undefined")
    length = _length(pairing, random)
    drawn = []
    for start in range(0, permutations, pairing.at_once()):
        count = min(pairing.at_once(), permutations - start)
        orders = np.stack([shuffled_rows(random, n, length) for _ in range(count)])
        drawn.append(pairing.values(pairing.shares(orders).sum(axis=(1, 2))))
    slack = 1e-12 * max(1.0, abs(observed))  # a tie counts as "at least as good"
    as_good = int((~(np.concatenate(drawn) < observed - slack)).sum())
    least = 1 / math.factorial(min(-(-n // length), 20))
    return Permuted(max((1 + as_good) / (1 + permutations), least), n, length)


def _length(pairing: Pairing, random: np.random.Generator) -> int:
    """Outcomes a block: as far as the interaction of said and happened depends on itself."""
    n = pairing.outcomes
    wanted = round(SAFETY * automatic_length(_interaction(pairing, random)))
    return max(block_length(n), min(wanted, n // FEWEST))


def _interaction(pairing: Pairing, random: np.random.Generator) -> Float64[np.ndarray, " outcome"]:
    """Each outcome's influence on the metric, less what either side has with anything else.

    Influence is by how much the metric would be another without the outcome.
    """
    n = pairing.outcomes
    said, happened = np.zeros(n), np.zeros(n)
    for _ in range(PAIRINGS):
        order = random.permutation(n)
        influence = _influence(pairing, order)
        said += influence / PAIRINGS
        happened[order] += influence / PAIRINGS
    return _influence(pairing, np.arange(n)) - said - happened


def _influence(pairing: Pairing, order: np.ndarray) -> Float64[np.ndarray, " outcome"]:
    """What the metric loses by each outcome's absence; 0 where it would be undefined."""
    shares = pairing.shares(order[None])[0].sum(axis=1)
    total = shares.sum(axis=0)
    lost = pairing.values(total) - pairing.values(total - shares)
    return np.where(np.isfinite(lost), lost, 0.0)


__all__ = ["PERMUTATIONS", "Permuted", "first_decisions", "permutation_test"]
