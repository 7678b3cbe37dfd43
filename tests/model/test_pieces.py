"""In evaluation the fusion takes decisions piece by piece, and the answers are the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tasks import small_task

from mtf.model import layers

MINUTE = 60_000


def test_the_answers_of_pieces_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    task = small_task()
    model = task.model.eval()
    end = task.parts["test"].end_ms
    batch = task.builder.build(np.arange(end - 50 * MINUTE, end, MINUTE)[None, :], end)
    sizes: list[int] = []
    hook = model.fusion.register_forward_hook(lambda _, given, __: sizes.append(len(given[0])))
    with torch.no_grad():
        whole = model(batch)
        monkeypatch.setattr(layers, "CACHE_NUMBERS", 750)
        pieces = model(batch)
        model.train()(batch)
    hook.remove()
    assert sizes[0] == sizes[-1] == 50, "one piece where it fits the cache, and in training"
    assert len(sizes) > 4
    assert sum(sizes[1:-1]) == 50
    for head, outputs in whole.items():
        for name, expected in outputs.items():
            torch.testing.assert_close(pieces[head][name], expected, atol=1e-6, rtol=0)
