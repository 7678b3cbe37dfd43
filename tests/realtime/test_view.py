"""What a session shows of itself, from before its first decision on."""

from __future__ import annotations

from pathlib import Path

import pytest
from living import live_run, quick_model

from mtf.realtime.session import Session
from mtf.realtime.terms import Terms

NOW = 1_748_779_387_000


@pytest.mark.parametrize("signals_only", [False, True])
def test_a_session_that_waits_knows_no_times(tmp_path: Path, signals_only: bool) -> None:
    session = Session(quick_model(live_run(tmp_path)), Terms("ETHUSDT", 2_000, signals_only))
    view = session.view(NOW)
    assert view.signals_only is signals_only
    assert (view.started_ms, view.next_ms, view.account) == (None, None, None)
    assert {look.since_ms for look in view.streams} == {None}
    assert {look.why for look in view.streams} == {"nothing was told yet"}
