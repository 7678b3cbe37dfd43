"""No test of this folder reaches anything but this machine, and markets that many tests share."""

from __future__ import annotations

import pytest
from loopback import keep_to_loopback

from mtf.realtime.sandbox.synthetic import SyntheticMarket

START = 1_748_736_000_000  # 2025-06-01, a Sunday


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_to_loopback(monkeypatch)


@pytest.fixture(scope="session")
def market() -> SyntheticMarket:
    """Three coins with nine days of history before 2025-06-01."""
    return SyntheticMarket(start_ms=START, history_days=9)
