"""Real candles, one by one, with gaps, late ones, streams that are gone, and a restart between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from real_streams import disturbed, real_config, real_model, world_of
from streams import arrivals, in_batches, replay, streaming_of

from mtf.learning.stream_file import restore_stream, save_stream

EQUAL, CLOSE = 1e-6, 1e-5


def compare(data: Path, folder: Path, decisions: int) -> dict[str, float]:
    """How far streaming is from batches in outputs and actions, and what there was to get wrong."""
    config = real_config(data, decisions // 1440 + 2)
    model, raw = real_model(config)
    raw = disturbed(raw, config.decisions.start_ms)
    times = config.decisions.start_ms + 60_000 * np.arange(1, decisions + 1)
    half, coming = decisions // 2, arrivals(raw)
    first = streaming_of(config, model)
    said = replay(first, coming, times[:half])
    save_stream(first, folder)
    rest = streaming_of(config, model)
    assert restore_stream(rest, folder) == ()
    later = [one for one in coming if one.time_ms > int(times[half - 1])]
    said_later = replay(rest, later, times[half:])
    said = {name: np.concatenate([value, said_later[name]]) for name, value in said.items()}
    world = world_of(config, raw)
    expected = in_batches(model, world, times)
    known = world.known(times)
    apart = [np.abs(said[name] - value).max() for name, value in expected.items()]
    relative = [
        (np.abs(said[name] - value) / np.maximum(np.abs(value), 1)).max()
        for name, value in expected.items()
    ]
    action, other = (one["action/logits"].argmax(1) for one in (said, expected))
    best = np.sort(expected["action/logits"], axis=1)
    close = best[:, -1] - best[:, -2] <= CLOSE
    return {
        "decisions": decisions,
        "largest difference": float(max(apart)),
        "of what is said where above 1": float(max(relative)),
        "actions that differ": int((action != other).sum()),
        "of them with two logits close": int(((action != other) & close).sum()),
        "with two logits close": int(close.sum()),
        "kinds of actions": len(np.unique(other)),
        "with a late candle": int(np.any([one.late for one in known.values()], axis=0).sum()),
        "without some stream": int((~np.all([k.present for k in known.values()], axis=0)).sum()),
        "late candles": sum(count.get("late", 0) for count in rest.counts.values()),
        "by tape": float(rest.answer.name == "tape"),
    }


def check(found: dict[str, float]) -> None:
    print("\n" + "\n".join(f"{name}: {value:g}" for name, value in found.items()))
    assert found["largest difference"] <= EQUAL
    assert found["actions that differ"] == found["of them with two logits close"]
    assert found["kinds of actions"] >= 2
    assert found["by tape"]
    for name in ("with a late candle", "without some stream", "late candles"):
        assert found[name] > 0, name


@pytest.mark.slow
def test_some_thousand_decisions(real_data: Path, tmp_path: Path) -> None:
    check(compare(real_data, tmp_path, 2_000))


@pytest.mark.long
def test_a_hundred_thousand_decisions(real_data: Path, tmp_path: Path) -> None:
    check(compare(real_data, tmp_path, 100_000))
