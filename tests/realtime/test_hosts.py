"""Whom we speak to: each allowed host of REST has a host of public streams that is allowed, too."""

from __future__ import annotations

import pytest

from mtf.realtime.hosts import REST_HOSTS, HostError, check_url, stream_url


@pytest.mark.parametrize(
    ("rest", "streams"),
    [
        ("https://api.bybit.com:443", "wss://stream.bybit.com"),
        ("https://API.bybit.com", "wss://stream.bybit.com"),
        ("https://api.bybit.kz", "wss://stream.bybit.kz"),
        ("https://api.bybit.eu", "wss://stream.bybit.eu"),
        ("https://api.bybit.nl", "wss://stream.bybit.com"),  # has REST alone
        ("https://api-demo.bybit.com", "wss://stream.bybit.com"),  # its own are private ones alone
        ("https://127.0.0.1:8443/", "wss://127.0.0.1:8443"),
        ("http://[::1]:8080", "ws://[::1]:8080"),
    ],
)
def test_the_public_streams_of_a_rest_address(rest: str, streams: str) -> None:
    assert stream_url(rest) == streams


def test_what_may_be_asked_can_be_listened_to() -> None:
    for host in REST_HOSTS:
        endpoint = check_url(f"https://{host}", "rest")
        assert check_url(stream_url(endpoint), "stream").startswith("wss://stream")


@pytest.mark.parametrize("rest", ["https://example.com", "http://api.bybit.com", "api.bybit.com"])
def test_an_address_that_is_not_allowed_has_no_streams(rest: str) -> None:
    with pytest.raises(HostError, match="nothing was sent"):
        stream_url(rest)
