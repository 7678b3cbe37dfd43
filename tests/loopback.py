"""Tests reach this machine alone."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest


class ElsewhereError(RuntimeError):
    """Somebody tried to reach another machine."""


def keep_to_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets connect to this machine alone, and no name is looked up but its own."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not ipaddress.ip_address(address[0]).is_loopback:
            raise ElsewhereError(address)
        connect(self, address)

    def guarded_look_up(host: Any, *rest: Any, **more: Any) -> Any:
        if host not in ("127.0.0.1", "localhost", "::1", None):
            raise ElsewhereError(host)
        return look_up(host, *rest, **more)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)
