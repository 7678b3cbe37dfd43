"""Running sums in rings give the means that ``pool`` takes over whole blocks."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtf.market.flow import PIECE
from mtf.model import stream_kernels as kernels
from mtf.model.tokens import TOKENS, pool, token_spans

DIM, SIZE, OFFSET = 3, 4 * PIECE, 5


class Ring:
    """One stream of a table, filled slot by slot."""

    def __init__(self, first: int, spans: tuple[tuple[int, int], ...], lookback: int) -> None:
        self.plan = np.zeros(kernels.PLAN, np.int64)
        self.plan[kernels.LOOKBACK], self.plan[kernels.OFFSET] = lookback, OFFSET
        self.plan[kernels.SIZE], self.plan[kernels.TOKENS] = SIZE, len(spans)
        self.standing = np.zeros(kernels.STANDING, np.int64)
        self.standing[:2] = first, first
        self.spans = np.array([(*span, 0) for span in spans], np.int64)
        self.sums, self.count = np.full((SIZE + OFFSET, DIM), np.nan), np.zeros(SIZE + OFFSET, int)

    def add(self, start: int, encoded: np.ndarray, usable: np.ndarray) -> None:
        """Slots of one piece."""
        row, first = OFFSET + start % SIZE, int(self.standing[kernels.FIRST])
        before = OFFSET + (start - 1) % SIZE
        counted = int(self.count[before]) if start > first else 0
        fresh = int(start % PIECE == 0 or start == first), counted
        kernels.add_rows(row, encoded, usable, fresh, self.sums, self.count)
        self.standing[kernels.END] = max(self.standing[kernels.END], start + len(usable))

    def pooled(self, last_slot: int) -> tuple[np.ndarray, np.ndarray]:
        """Tokens, and which of them have a valid slot."""
        tokens, mask = np.zeros((len(self.spans), DIM), np.float32), np.zeros(len(self.spans), bool)
        room = np.empty((SIZE // PIECE + 2, DIM)), np.empty((2, DIM))
        kernels.pool_stream(
            last_slot, self.plan, self.standing, self.spans, self.sums, self.count, *room, tokens,
            mask,
        )  # fmt: skip
        return tokens, mask


@given(
    st.integers(0, 10_000),
    st.integers(1, 130),
    st.integers(0, 500),
    st.sampled_from(TOKENS),
    st.integers(-20, 20),
)
@settings(max_examples=60, deadline=None)
def test_tokens_are_those_of_whole_blocks(
    seed: int, lookback: int, slots: int, name: str, ahead: int
) -> None:
    rng = np.random.default_rng(seed)
    spans = token_spans(name, lookback, 7)
    first = 1_000 + seed
    ring = Ring(first, spans, lookback)
    encoded = rng.normal(size=(slots + 1, DIM)).astype(np.float32)
    usable = rng.random(slots + 1) < 0.7
    encoded[~usable] = np.nan
    start = first
    while start < first + slots + 1:
        piece_end = start + PIECE - start % PIECE
        end = min(start + int(rng.integers(1, PIECE)), piece_end, first + slots + 1)
        ring.add(start, encoded[start - first : end - first], usable[start - first : end - first])
        start = end
    last_slot = first + slots + ahead
    tokens, mask = ring.pooled(last_slot)
    behind = max(ahead, 0)
    block = np.pad(np.where(usable[:, None], encoded, 0), ((lookback + 20, behind), (0, 0)))
    valid = np.pad(usable, (lookback + 20, behind))
    expected, there = pool(
        torch.from_numpy(block)[None],
        torch.from_numpy(valid)[None],
        torch.zeros(1, dtype=torch.int64),
        torch.tensor([lookback + 20 + slots + ahead]),
        torch.tensor(spans),
    )
    np.testing.assert_array_equal(mask, there[0].numpy())
    np.testing.assert_allclose(tokens, expected[0].numpy(), atol=1e-6)


def test_sums_do_not_drift() -> None:
    """After 100,000 slots a mean is as exact as at first: sums restart with every piece."""
    spans = token_spans("log", 100)
    ring, rng = Ring(0, spans, 100), np.random.default_rng(0)
    every = np.ones(PIECE, np.bool_)
    for start in range(0, 100_000, PIECE):
        ring.add(start, (rng.normal(size=(PIECE, DIM)) * 1e6).astype(np.float32), every)
    last = ring.standing[kernels.END] - 1
    small = rng.normal(size=(2 * PIECE, DIM)).astype(np.float32)
    for half in (small[:PIECE], small[PIECE:]):
        ring.add(int(ring.standing[kernels.END]), half, every)
    tokens, _ = ring.pooled(int(last) + 2 * PIECE)
    newest_first = small[::-1].astype(np.float64)
    expected = [newest_first[newest:oldest].mean(0) for newest, oldest in spans]
    np.testing.assert_array_equal(tokens, np.array(expected).astype(np.float32))
