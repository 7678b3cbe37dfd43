"""Means over spans by running sums, compiled, forward and backward, and whole tokens in one pass.

A running sum lives for one block and stays in the cache, where torch would write all of them to
memory.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numpy as np

from mtf.model.lanes import compiled


@compiled
def running_sums(encoded, valid, block, running):
    """Sums of the valid slots of a block up to each edge into ``running`` [edge, dim]."""
    time, dim = encoded.shape[1:]
    for slot in range(time):
        before, after = running[slot], running[slot + 1]
        if valid[block, slot]:
            row = encoded[block, slot]
            for i in range(dim):
                after[i] = before[i] + row[i]
        else:
            for i in range(dim):
                after[i] = before[i]


@compiled
def span_means(encoded, valid, order, offsets, start, stop, count, out):
    """Means of valid slots ``start … stop - 1`` of each decision's block into ``out``.

    ``order[offsets[b] : offsets[b + 1]]`` are the decisions of block ``b``; ``count`` [decision,
    token] is the number of valid slots of each span.
    """
    blocks, time, dim = encoded.shape
    running = np.zeros((time + 1, dim))
    for block in range(blocks):
        running_sums(encoded, valid, block, running)
        for decision in order[offsets[block] : offsets[block + 1]]:
            for token in range(start.shape[1]):
                share = 1.0 / max(count[decision, token], 1)
                low, high = running[start[decision, token]], running[stop[decision, token]]
                row = out[decision, token]
                for i in range(dim):
                    row[i] = (high[i] - low[i]) * share


@compiled
def span_means_backward(grad, valid, order, offsets, start, stop, count, out):
    """Gradient of ``span_means`` by ``encoded`` into ``out``: one running sum of what changes.

    Where no span lies the sum is 0, not what rounding leaves of it: no gradient, however small, may
    reach a slot that a decision does not see.
    """
    blocks, time, dim = out.shape
    change = np.empty((time + 1, dim))
    opened = np.empty(time + 1, np.int64)
    total = np.empty(dim)
    for block in range(blocks):
        change[:] = 0.0
        opened[:] = 0
        total[:] = 0.0
        spans = 0
        for decision in order[offsets[block] : offsets[block + 1]]:
            for token in range(start.shape[1]):
                share = 1.0 / max(count[decision, token], 1)
                low, high = change[start[decision, token]], change[stop[decision, token]]
                row = grad[decision, token]
                if not row.any():
                    continue
                opened[start[decision, token]] += 1
                opened[stop[decision, token]] -= 1
                for i in range(dim):
                    low[i] += row[i] * share
                    high[i] -= row[i] * share
        for slot in range(time):
            row, step = out[block, slot], change[slot]
            spans += opened[slot]
            for i in range(dim):
                total[i] = total[i] + step[i] if spans else 0.0
            if valid[block, slot]:
                for i in range(dim):
                    row[i] = total[i]
            else:
                for i in range(dim):
                    row[i] = 0.0


@compiled
def write_tokens(
    encoded, valid, order, offsets, start, stop, count, shown, place, origin, own, lone, out, first
):
    """Means over spans, plus origin and place, plus what their decision adds: in that order.

    Args:
        encoded: float32 [block, slot, dim].
        valid: bool [block, slot].
        order: decisions by block.
        offsets: where in ``order`` each block's begin.
        start: first slot of each span [decision, token].
        stop: the slot after its last.
        count: its valid slots.
        shown: decisions that see the stream; another shows one vector in place of its first token.
        place: of each token [token, dim].
        origin: of the stream [decision or 1, dim].
        own: added to every token of a decision [decision, dim].
        lone: that one vector, of every decision or of all [decision or 1, dim].
        out: [decision, all tokens, dim].
        first: the stream's first token in ``out``; where it has none, 0 is written.
    """
    time, dim = encoded.shape[1:]
    running = np.zeros((time + 1, dim))
    for block in range(len(encoded)):
        running_sums(encoded, valid, block, running)
        for decision in order[offsets[block] : offsets[block + 1]]:
            mine, source = own[decision], origin[min(decision, len(origin) - 1)]
            for token in range(start.shape[1]):
                row, seen = out[decision, first + token], count[decision, token]
                if shown[decision] and seen:
                    share, where = 1.0 / seen, place[token]
                    low, high = running[start[decision, token]], running[stop[decision, token]]
                    for i in range(dim):
                        mean = np.float32((high[i] - low[i]) * share)
                        row[i] = (mean + (source[i] + where[i])) + mine[i]
                else:
                    for i in range(dim):
                        row[i] = 0.0
            if not shown[decision]:
                row, vector = out[decision, first], lone[min(decision, len(lone) - 1)]
                for i in range(dim):
                    row[i] = vector[i]
