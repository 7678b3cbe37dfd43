"""Every registered plug-in keeps its contract."""

from __future__ import annotations

import pytest

from mtf.market.timeframe import Timeframe
from mtf.plugins import registry
from mtf.plugins.contracts import Request
from mtf.testing import (
    check_data_source,
    check_encoder,
    check_feature_set,
    check_fusion,
    check_head,
    check_loss,
)


@pytest.mark.parametrize("name", registry.names("encoder"))
def test_encoder(name: str) -> None:
    check_encoder(registry.load("encoder", name))


@pytest.mark.parametrize("name", registry.names("fusion"))
def test_fusion(name: str) -> None:
    check_fusion(registry.load("fusion", name))


@pytest.mark.parametrize("name", registry.names("head"))
def test_head(name: str) -> None:
    check_head(registry.load("head", name))


@pytest.mark.parametrize("name", registry.names("feature"))
def test_feature_set(name: str) -> None:
    check_feature_set(registry.load("feature", name))


@pytest.mark.parametrize("name", registry.names("loss"))
def test_loss(name: str) -> None:
    check_loss(registry.load("loss", name))


def test_data_source() -> None:
    """The one that needs no file; its candles of all timeframes."""
    minute, hour = Timeframe.parse("1m"), Timeframe.parse("1h")
    start, day = 1_704_067_200_000, 86_400_000
    check_data_source(
        registry.load("data_source", "synthetic"),
        [
            Request("ETHUSDT", minute, start, start + day),
            Request("ETHUSDT", hour, start, start + day),
            Request("BTCUSDT", minute, start, start + day),
        ],
    )
