"""The private endpoints: signatures and the window of time are checked, and nothing is there.

The account is empty and stays so: this stand-in takes no orders.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from typing import Any

from mtf.realtime.sandbox.public import RefusalError

AHEAD_MS = 1_000
"""How far a request's time may lie ahead of the server's; no window widens that."""
MOST_WINDOW_MS = 60_000

EMPTY: dict[str, Any] = {"list": [], "nextPageCursor": "", "category": "linear"}
READ = {
    "/v5/account/wallet-balance": {"list": [{"accountType": "UNIFIED", "coin": []}]},
    "/v5/position/list": EMPTY,
    "/v5/order/realtime": EMPTY,
    "/v5/order/history": EMPTY,
    "/v5/execution/list": EMPTY,
    "/v5/user/query-api": {"readOnly": 1, "permissions": {}, "ips": ["127.0.0.1"]},
}


class Account:
    """Who may ask, and what is answered.

    A request's time is compared with the wall clock, as its sender can't know of a market whose
    time runs at another speed; a fault of the server's clock shifts it.

    Args:
        keys: API key to secret.
        offset_ms: what the server's clock is ahead.
        wall_ms: the wall clock; another one is for tests.
    """

    def __init__(
        self,
        keys: Mapping[str, str],
        offset_ms: Callable[[], int],
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """Remember the keys."""
        self._keys = dict(keys)
        self._offset_ms = offset_ms
        self._wall_ms = wall_ms

    def __repr__(self) -> str:
        """Nothing of the keys."""
        return f"Account({len(self._keys)} keys)"

    def answer(
        self, method: str, path: str, payload: str, headers: Mapping[str, str]
    ) -> dict[str, Any]:
        """The result of a private request.

        Args:
            method: GET or POST.
            path: such as ``/v5/position/list``.
            payload: the raw query of a GET, the raw body of a POST: what was signed.
            headers: with ``X-BAPI-API-KEY`` and so on.

        Raises:
            RefusalError: not signed rightly, outside of its window of time, or an order.
        """
        self._check(payload, headers)
        if method == "GET" and path in READ:
            return READ[path]
        raise RefusalError(10005, "Permission denied: this stand-in takes no orders")

    def _check(self, payload: str, headers: Mapping[str, str]) -> None:
        """Key, time and signature, in the exchange's order."""
        key = headers.get("X-BAPI-API-KEY", "")
        secret = self._keys.get(key)
        if secret is None:
            raise RefusalError(10003, "API key is invalid.")
        sent, window = headers.get("X-BAPI-TIMESTAMP", ""), headers.get("X-BAPI-RECV-WINDOW", "")
        window = window or "5000"
        if not (sent.isdecimal() and window.isdecimal()):
            raise RefusalError(10001, "params error: timestamp or recv_window is invalid")
        server = self._wall_ms() + self._offset_ms()
        reach = min(int(window), MOST_WINDOW_MS)
        if not server - reach <= int(sent) < server + AHEAD_MS:
            raise RefusalError(
                10002,
                "invalid request, please check your server timestamp or recv_window param. "
                f"req_timestamp[{sent}],server_timestamp[{server}],recv_window[{window}]",
            )
        said = f"{sent}{key}{window}{payload}".encode()
        right = hmac.new(secret.encode(), said, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(right, headers.get("X-BAPI-SIGN", "")):
            raise RefusalError(10004, "error sign! please check your signature")
