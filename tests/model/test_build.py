"""From a config to the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from mtf.config.load import load_config
from mtf.config.schema import Config
from mtf.errors import ConfigError
from mtf.market.timeframe import Timeframe
from mtf.model.build import build_model, round_trip_cost
from mtf.model.hybrid import HybridModel

CLOCK = Timeframe.parse("1m")
STREAMS = {
    "1s": {"timeframe": "1s"},
    "1m": {"timeframe": "1m"},
    "1h": {"timeframe": "1h", "lookback": 168},
    "1d": {"timeframe": "1d", "lookback": 60},
    "btc": {"timeframe": "1m", "symbol": "BTCUSDT"},
}


def config_of(folder: Path, **sections: Any) -> Config:
    whole = {
        "data": {"name": "synthetic"},
        "decisions": {"start": "2024-01-01", "end": "2024-01-31", "symbols": ["ETHUSDT"]},
        "streams": STREAMS,
        **sections,
    }
    file = folder / "small.yaml"
    file.write_text(yaml.safe_dump(whole, sort_keys=False))
    return load_config(file, [])


def model_of(config: Config, channels: dict[str, int] | None = None) -> HybridModel:
    specs = config.stream_specs()
    torch.manual_seed(0)
    return build_model(config, specs, channels or {spec.name: 5 for spec in specs}, CLOCK)


def test_the_default_model(tmp_path: Path) -> None:
    model = model_of(config_of(tmp_path))
    assert [len(tokens) for _, tokens in sorted(spans(model).items())] == [10, 10, 9, 7, 10]
    assert [model.required_slots(name) for name in STREAMS] == [630, 630, 198, 90, 630]
    weights = [encoder.get_parameter("stem.weight") for encoder in model.encoders]
    assert all(weight is weights[0] for weight in weights)
    assert sum(p.numel() for p in model.parameters()) < 160_000


def spans(model: HybridModel) -> dict[str, torch.Tensor]:
    return {name: b for name, b in model.named_buffers() if name.startswith("spans_")}


def test_per_stream_weights_take_other_features(tmp_path: Path) -> None:
    channels = {name: 9 if name == "1d" else 5 for name in STREAMS}
    own = config_of(tmp_path, model={"encoder": {"name": "dsc", "weights": "per_stream"}})
    assert model_of(own, channels).get_parameter("encoders.3.stem.weight").shape == (64, 9)
    with pytest.raises(ConfigError, match="different feature channels"):
        model_of(config_of(tmp_path), channels)


def test_round_trip_cost(tmp_path: Path) -> None:
    config = config_of(tmp_path, costs={"commission": 0.001, "slippage_bps": 5.0})
    assert round_trip_cost(config.costs) == pytest.approx(0.003)
