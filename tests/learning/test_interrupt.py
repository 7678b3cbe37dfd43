"""Ctrl-C waits for a step to end; a second one does not wait."""

from __future__ import annotations

import signal

import pytest

from mtf.learning.interrupt import interrupts_held


def press() -> None:
    """What Ctrl-C does."""
    signal.raise_signal(signal.SIGINT)


def test_the_first_is_noted_and_the_second_comes_through() -> None:
    with interrupts_held() as interrupted:
        assert not interrupted()
        press()
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            press()
    with pytest.raises(KeyboardInterrupt):
        press()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_system_that_ends_us_is_heard_as_ctrl_c_is(number: signal.Signals) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interrupts_held() as interrupted:
        signal.raise_signal(number)
        assert interrupted()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_process_that_ignores_it_goes_on_ignoring_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts_held() as interrupted:
            press()
            assert not interrupted()
    finally:
        signal.signal(signal.SIGINT, before)
