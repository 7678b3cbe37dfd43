"""From a spec to an object."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import mtf
from mtf.config.build import build
from mtf.config.load import parse_config
from mtf.config.schema import EncoderSpec, FeatureSpec
from mtf.encoders.dsc import DSC
from mtf.errors import ConfigError
from mtf.market.features import Ohlcv
from mtf.plugins import registry


@pytest.fixture
def picky() -> Iterator[str]:
    @mtf.register("feature", "picky")
    class Picky(Ohlcv):
        """Refuses odd numbers."""

        def __init__(self, *, number: int = 2) -> None:
            if number % 2:
                raise ValueError("odd")
            super().__init__()

    yield "picky"
    registry.forget("feature", "picky")


def test_options_go_behind_the_star_and_context_before_it() -> None:
    spec = EncoderSpec.model_validate({"name": "dsc", "kernel_size": 5, "weights": "per_stream"})
    encoder = build("encoder", spec, 5, 16)
    assert isinstance(encoder, DSC)
    assert encoder.receptive_field == 1 + 4 * 15
    x, valid = torch.zeros(1, 7, 5), torch.ones(1, 7, dtype=torch.bool)
    assert encoder(x, valid).shape == (1, 7, 16)


def test_what_a_constructor_refuses_is_the_users_mistake(picky: str) -> None:
    with pytest.raises(ConfigError, match="feature 'picky' refuses its options: odd"):
        build("feature", FeatureSpec.model_validate({"name": picky, "number": 3}))


def test_a_decorated_plugin_is_validated_like_any_other(picky: str) -> None:
    values = {
        "data": {"name": "synthetic"},
        "decisions": {"start": "2024-01-01", "end": "2024-02-01", "symbols": ["ETHUSDT"]},
        "streams": {"1m": {}},
    }
    assert parse_config({**values, "features": {"name": picky}}).features.options == {"number": 2}
    with pytest.raises(ConfigError, match=r"features.numbr.*\n.*\n.*did you mean number"):
        parse_config({**values, "features": {"name": picky, "numbr": 2}})
