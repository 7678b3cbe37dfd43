"""Terms of trade that make no sense."""

from __future__ import annotations

from typing import Any

import pytest

from mtf.errors import ConfigError
from mtf.trading.costs import Broker


def test_the_defaults_are_fine() -> None:
    assert Broker().used == 0.95


@pytest.mark.parametrize(("terms", "words"), [
    ({"capital": 0.0}, "capital 0.0 of the broker"),
    ({"leverage": -1.0}, "leverage -1.0"),
    ({"used": float("nan")}, "used nan"),
    ({"commission": -0.1}, "commission -0.1"),
    ({"lot_size": -1.0}, "lot_size -1.0"),
    ({"maintenance_margin": 1.0}, "maintenance_margin 1.0"),
])  # fmt: skip
def test_nonsense_is_refused(terms: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Broker(**terms)
