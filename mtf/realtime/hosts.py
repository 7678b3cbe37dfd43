"""Whom we speak to: the exchange's own hosts over TLS, and this machine. Nobody else."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from mtf.errors import ConfigError, MtfError

LOOPBACK = ("127.0.0.1", "::1", "localhost")
STREAMS = {
    "api.bybit.com": "stream.bybit.com",
    "api.bytick.com": "stream.bytick.com",
    "api.bybit.nl": "stream.bybit.com",
    "api.bybit.kz": "stream.bybit.kz",
    "api.bybit.eu": "stream.bybit.eu",
    "api-testnet.bybit.com": "stream-testnet.bybit.com",
    "api-demo.bybit.com": "stream.bybit.com",
}
"""Hosts of REST, and where the public streams of each are. Some have none of their own: the
exchange documents none for the Netherlands, and private ones alone for its demo."""
REST_HOSTS = tuple(STREAMS)
STREAM_HOSTS = tuple(dict.fromkeys(STREAMS.values()))
Use = Literal["rest", "stream"]
_SCHEMES: dict[Use, tuple[str, str]] = {"rest": ("https", "http"), "stream": ("wss", "ws")}
_HOSTS: dict[Use, tuple[str, ...]] = {"rest": REST_HOSTS, "stream": STREAM_HOSTS}


class HostError(MtfError):
    """An address that nothing is sent to."""


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own."""
    return _split(url)[1] in LOOPBACK


def check_speed(speed: float, endpoint: str) -> None:
    """Refuse another time than the exchange's own where no stand-in is spoken to.

    Raises:
        ConfigError: such a speed.
    """
    if speed != 1 and not is_loopback(endpoint):
        raise ConfigError(
            f"found --speed {speed:g} with {endpoint}",
            "a speed of 1: the exchange's time runs as ours",
            "leave it out, or name a stand-in by --endpoint (mtf sandbox)",
        )


def stream_url(endpoint: str) -> str:
    """Where the public streams of a REST address are; on this machine at the same port.

    Raises:
        HostError: an address that nothing is sent to.
    """
    scheme, host, _, _ = _split(check_url(endpoint, "rest"))
    if host in LOOPBACK:
        return f"{scheme.replace('http', 'ws')}://{endpoint.rstrip('/').partition('://')[2]}"
    return f"wss://{STREAMS[host]}"


def check_url(url: str, use: Use) -> str:
    """The address, if something may be sent to it.

    Args:
        url: an absolute address.
        use: ``rest`` (https) or ``stream`` (wss); plain http and ws are for loopback alone.

    Raises:
        HostError: another host or port, no TLS, or a name and password in the address.
    """
    scheme, host, port, plain_name = _split(url)
    secure, plain = _SCHEMES[use]
    if "://" not in url:  # not shown: there may be a password in it
        raise HostError(
            "found an address without a scheme",
            f"{secure}:// or, on this machine, {plain}:// before the host",
            f"nothing was sent; write it such as {plain}://127.0.0.1:8090",
        )
    official = host in _HOSTS[use] and scheme == secure and port in (None, 443)
    own = host in LOOPBACK and scheme in (secure, plain)
    if plain_name and (official or own):
        return url
    raise HostError(
        f"found the address {scheme}://{host or '(no host)'}{'' if port is None else f':{port}'}",
        f"{secure}:// and one of {', '.join(_HOSTS[use])}; or {plain}:// and 127.0.0.1",
        "nothing was sent; use one of these addresses",
    )


def _split(url: str) -> tuple[str, str, int | None, bool]:
    """Scheme, host, port, and whether there is no name or password; all empty where it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "", "", None, False
    return parts.scheme, parts.hostname or "", port, "@" not in parts.netloc
