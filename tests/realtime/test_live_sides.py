"""Side inputs of a session: what batches say of the same decisions, by the newest candles alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from sessions_of_candles import arriving, by_key, by_stream, told
from streams import Arrival, arrivals
from whole import START, minutes, small_whole, whole_model, whole_world
from worlds import MINUTE, random_candles

from mtf.config.plugin_spec import FeatureSpec, SideInputSpec
from mtf.config.schema import Config
from mtf.market.candles import Candles
from mtf.market.side_input import Moments
from mtf.model.stream_beside import Sides
from mtf.realtime.batch_answers import batch_predictions, side_inputs
from mtf.realtime.events import Closed, Key
from mtf.realtime.live_sides import LiveSides
from mtf.realtime.session_candles import as_decided

EQUAL = 1e-5
SIDES = ("technical", "market", "position_state")
TIMES = minutes(*range(1_740, 1_800, 5))
DELAY_MS = 2_000


def run_with(*names: str, half_life: int = 5) -> Config:
    """A run with side inputs, whose sigma has some half-life."""
    config = small_whole("linear")
    features = FeatureSpec(name="ohlcv", volatility_half_life=half_life)  # type: ignore[call-arg]
    given = {name: SideInputSpec(name=name) for name in names}
    return config.model_copy(update={"side_inputs": given, "features": features})


def market(config: Config, slots: int = 1_800) -> dict[Key, Candles]:
    """Thirty hours of minutes, some of which are missing, come late, or just in time."""
    rng = np.random.default_rng(5)
    raw = {
        "1m": random_candles(slots, 1, first_slot=START, missing=0.01),
        "1h": random_candles(60, 2, "1h", first_slot=START // 60 - 30),
        "btc": random_candles(slots, 3, symbol="BTCUSDT", first_slot=START, missing=0.01),
    }
    found = {}
    for name, candles in raw.items():
        late_ms = rng.choice(
            [0, 300, 2_000, 2_001, 130_000], len(candles), p=[0.5, 0.2, 0.2, 0.05, 0.05]
        )
        found[name] = arriving(candles, late_ms)
    return by_key(config, found)


class Fed:
    """A session's side inputs, told what had arrived by each decision."""

    def __init__(self, config: Config, candles: Mapping[Key, Candles]) -> None:
        self.live = LiveSides(config)
        self.keys = {f"{symbol} {frame}": (symbol, frame) for symbol, frame in candles}
        named = zip(self.keys, candles.values(), strict=True)
        self.coming: list[Arrival] = arrivals(dict(named))

    def __call__(self, time_ms: int, streaming: object) -> Sides:
        del streaming
        while self.coming and self.coming[0].time_ms <= time_ms + DELAY_MS:
            one = self.coming.pop(0)
            opens, rows = np.array([one.open_time_ms], np.int64), np.array([one.candle])
            self.live.take(Closed(*self.keys[one.stream], opens, rows, one.time_ms, "stream"))
        return self.live.at(time_ms)


@pytest.mark.parametrize(
    ("names", "half_life"),
    [*(((name,), 5) for name in SIDES), (SIDES, 60)],  # of 5, less than the history is kept
)
def test_a_session_says_with_its_side_inputs_what_batches_say(
    names: tuple[str, ...], half_life: int
) -> None:
    config = run_with(*names, half_life=half_life)
    model, candles = whole_model(config), market(config)
    rows = list(told(config, model, candles, TIMES, DELAY_MS, Fed(config, candles)))
    expected = batch_predictions(config, model, as_decided(candles, DELAY_MS), TIMES)
    said = np.array([list(row.values()) for row in rows])
    assert np.abs(said - np.stack(list(expected.arrays.values()), axis=1)).max() <= EQUAL
    bare = config.model_copy(update={"side_inputs": {}})
    missing = batch_predictions(bare, model, as_decided(candles, DELAY_MS), TIMES)
    assert np.abs(said - np.stack(list(missing.arrays.values()), axis=1)).max() > 1e-4


def test_its_values_are_those_of_the_whole_history() -> None:
    # Forty such half-lives are more than there is, and ten, which make features warm, are not.
    config = run_with(*SIDES, half_life=240)
    candles = market(config, slots=4_600)
    fed, raw = Fed(config, candles), by_stream(config, as_decided(candles, DELAY_MS))
    world = whole_world(config, raw)
    for time_ms in minutes(*range(4_500, 4_600, 30)).tolist():
        at = np.array([time_ms], np.int64)
        moments = Moments(world, at, world.known(at))
        found = fed(time_ms, None)
        assert list(found) == list(SIDES)
        for name, side in side_inputs(config).items():
            (values,), (valid,) = side.at(moments)
            assert found[name][1].tolist() == valid.tolist()
            np.testing.assert_array_equal(found[name][0], values)


def test_it_keeps_what_it_looks_at_alone() -> None:
    config = run_with("technical")
    candles = {
        key: arriving(one, np.zeros(len(one), np.int64)) for key, one in market(config).items()
    }
    fed = Fed(config, candles)
    eth = ("ETHUSDT", config.decisions.clock)
    fed(int(TIMES[-1]), None)
    assert list(fed.live._told) == [eth]
    kept = fed.live._told[eth]
    # 512 candles, and the 600 that features need to be warm, more than forty half-lives of five.
    assert int(kept[0].open_ms[0]) >= int(TIMES[-1]) - (512 + 600) * MINUTE
    assert 1_050 < len(kept) <= 1_112


def test_without_side_inputs_there_is_nothing_to_say() -> None:
    config = small_whole("linear")
    assert LiveSides(config).at(int(TIMES[0])) == {}
