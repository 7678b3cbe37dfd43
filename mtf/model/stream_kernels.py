"""Compiled loops of one decision: what is known of every stream, its tokens, their embeddings.

All streams lie one behind the other in the same arrays. A running sum restarts with every piece of
64 slots, so that it stays small however long a history is.
"""

# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np

from mtf.compiled import cached_njit
from mtf.market.flow import NO_SLOT, PIECE

# Columns of the plan of a stream: what does not change.
DURATION, ANCHOR, LATENCY, LOOKBACK, OFFSET, SIZE, TOKEN, TOKENS, SOURCE = range(9)
PLAN = 9
# Columns of where a stream stands.
FIRST, END, RESCANS, POOLED_LAST, POOLED_END, POOLED_RESCANS = range(6)
STANDING = 6
# Columns of what is known: slots, and figures.
LAST_SLOT, ROW_SLOT, PRESENT = range(3)
SIGMA, VOLUME_MEAN, LAST_CLOSE, LOG_SIGMA, LOG_AGE, AGE_MS = range(6)


@cached_njit()
def add_rows(row, encoded, usable, fresh, sums, count):
    """Running sums and counts of slots of one piece, the first of which stands at ``row``.

    Args:
        row: of the first slot, within ``sums``.
        encoded: ``[slot, dim]``.
        usable: which slots count.
        fresh: ``(sum, count)``: whether the first slot begins a piece, and valid slots before it.
        sums: ``[row, dim]`` in float64, from the start of each slot's piece.
        count: valid slots of the whole history up to each.
    """
    dim, counted = sums.shape[1], fresh[1]
    for i in range(len(usable)):
        into = sums[row + i]
        if i == 0 and fresh[0] != 0:
            into[:] = 0.0
        else:
            before = sums[row + i - 1]
            for k in range(dim):
                into[k] = before[k]
        if usable[i]:
            counted += 1
            one = encoded[i]
            for k in range(dim):
                into[k] += one[k]
        count[row + i] = counted


@cached_njit()
def counted_before(slot, plan, standing, count):
    """Valid slots of the history before a slot."""
    slot = min(slot, standing[END])
    if slot <= standing[FIRST]:
        return 0
    return count[plan[OFFSET] + (slot - 1) % plan[SIZE]]


@cached_njit()
def look(time, plan, standing, max_age, scale, last, count, slots, figures):
    """What is known of every stream at ``time``; False where one can't be asked any more."""
    for i in range(len(plan)):
        own, at = plan[i], standing[i]
        last_slot = (time - own[LATENCY] - own[ANCHOR]) // own[DURATION] - 1
        newest = min(last_slot, at[END] - 1)
        slots[i, LAST_SLOT], slots[i, ROW_SLOT], slots[i, PRESENT] = last_slot, NO_SLOT, 0
        figures[i, :3] = np.nan
        figures[i, 3:] = 0.0
        figures[i, AGE_MS] = 2.0**62
        if newest < at[FIRST]:
            continue
        row = own[OFFSET] + newest % own[SIZE]
        figures[i, :3] = scale[row]
        seen = last[row]
        slots[i, ROW_SLOT] = seen
        if seen == NO_SLOT:
            continue
        age = time - (own[ANCHOR] + (seen + 1) * own[DURATION])
        figures[i, AGE_MS] = age
        durations = age / own[DURATION]
        figures[i, LOG_AGE] = np.log1p(max(durations, 0.0))
        if np.isfinite(figures[i, SIGMA]):
            figures[i, LOG_SIGMA] = (np.log(figures[i, SIGMA] * 1e4) - 2.0) / 2.0
        usable = counted_before(last_slot + 1, own, at, count)
        usable -= counted_before(last_slot + 1 - own[LOOKBACK], own, at, count)
        slots[i, PRESENT] = usable > 0 and age <= max_age[i]
    for i in range(len(plan)):  # what is derived goes with its source
        if plan[i, SOURCE] >= 0 and slots[plan[i, SOURCE], PRESENT] == 0:
            slots[i, PRESENT] = 0


@cached_njit()
def running(slot, base, own, at, sums, totals, out):
    """Sum of all slots from the start of piece ``base`` up to, not including, ``slot``."""
    piece = slot // PIECE
    total = totals[piece - base]
    if slot % PIECE == 0 or slot <= at[FIRST]:
        for k in range(len(out)):
            out[k] = total[k]
        return
    partial = sums[own[OFFSET] + (slot - 1) % own[SIZE]]
    for k in range(len(out)):
        out[k] = total[k] + partial[k]


@cached_njit()
def pool_stream(last_slot, own, at, spans, sums, count, totals, edges, pooled, mask):
    """Means over the spans of one stream into ``pooled`` and which of them have a valid slot.

    ``totals`` [piece, dim] and ``edges`` [2, dim] are room to work in.
    """
    first, end = at[FIRST], at[END]
    oldest = last_slot + 1
    for j in range(own[TOKENS]):
        oldest = min(oldest, last_slot + 1 - spans[own[TOKEN] + j, 1])
    oldest, newest = min(max(oldest, first), end), max(min(last_slot + 1, end), first)
    base, dim = oldest // PIECE, sums.shape[1]
    totals[0] = 0.0
    for piece in range(base, newest // PIECE):
        stop = (piece + 1) * PIECE - 1
        whole = sums[own[OFFSET] + stop % own[SIZE]]
        for k in range(dim):
            totals[piece + 1 - base, k] = totals[piece - base, k] + whole[k]
    before = np.int64(-1)
    for j in range(own[TOKENS]):
        token = own[TOKEN] + j
        start = min(max(last_slot + 1 - spans[token, 1], first), end)
        stop = min(max(last_slot + 1 - spans[token, 0], first), end)
        n = counted_before(stop, own, at, count) - counted_before(start, own, at, count)
        mask[token] = n > 0
        if n == 0:
            pooled[token] = 0.0
            continue
        low, high = edges[j % 2], edges[(j + 1) % 2]
        if start != before:
            running(start, base, own, at, sums, totals, low)
        running(stop, base, own, at, sums, totals, high)
        before = stop
        share = 1.0 / n
        for k in range(dim):
            pooled[token, k] = np.float32((high[k] - low[k]) * share)


@cached_njit()
def pool_streams(chosen, plan, standing, slots, spans, sums, count, totals, edges, pooled, mask):
    """``pool_stream`` of each chosen stream, unless nothing that it reads has changed.

    ``sums`` and ``pooled`` have one more axis in front: views of the same candles.
    """
    for i in range(len(plan)):
        if not chosen[i]:
            continue
        own, at = plan[i], standing[i]
        last_slot = slots[i, LAST_SLOT]
        end = min(last_slot + 1, at[END])
        same = at[POOLED_LAST] == last_slot and at[POOLED_END] == end
        if same and at[POOLED_RESCANS] == at[RESCANS]:
            continue
        for view in range(len(sums)):
            pool_stream(
                last_slot, own, at, spans, sums[view], count, totals, edges, pooled[view], mask
            )
        at[POOLED_LAST], at[POOLED_END], at[POOLED_RESCANS] = last_slot, end, at[RESCANS]


@cached_njit()
def dress(plan, slots, figures, spans, pooled, mask, place, about, tokens, shown):
    """Embed the pooled tokens of every stream, or show that it is missing.

    Args:
        plan: of the streams.
        slots: what is known.
        figures: what is known.
        spans: for their number alone.
        pooled: ``[token, dim]``.
        mask: which of them have a valid slot.
        place: ``[token, dim]``: what is always added to each token.
        about: ``[stream, 3, dim]``: what is added by log sigma, by age, and what a missing stream
            shows.
        tokens: becomes ``[all tokens, dim]``.
        shown: becomes where they are.
    """
    dim = pooled.shape[1]
    for i in range(len(plan)):
        first, stop = plan[i, TOKEN], plan[i, TOKEN] + plan[i, TOKENS]
        there = False
        for token in range(first, stop):
            there |= mask[token]
        there &= slots[i, PRESENT] != 0
        into = spans[first, 2]
        if not there:
            for token in range(first, stop):
                shown[into + token - first] = token == first
                tokens[into + token - first] = about[i, 2]
            continue
        log_sigma, age = np.float32(figures[i, LOG_SIGMA]), np.float32(figures[i, LOG_AGE])
        by_sigma, by_age = about[i, 0], about[i, 1]
        for token in range(first, stop):
            shown[into + token - first] = mask[token]
            own, bare, where = tokens[into + token - first], pooled[token], place[token]
            for k in range(dim):
                report = log_sigma * by_sigma[k] + age * by_age[k]
                own[k] = (bare[k] + where[k]) + report
