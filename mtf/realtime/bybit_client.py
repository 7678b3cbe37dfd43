"""pybit's REST client, made safe: it asks once, goes nowhere else, and shows no secret.

Retries, backoff and limits belong to whoever uses it: pybit retries neither what it should (a 500)
nor as it should (a reset time in the past ends in a negative sleep). Real money is none of its
business either: no order is sent from here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

import requests
from pybit.unified_trading import HTTP

from mtf.errors import MtfError
from mtf.realtime.guarded_session import GuardedSession
from mtf.realtime.hosts import check_url, is_loopback

MAINNET = "https://api.bybit.com"
PLAIN_VALUE = re.compile(r"[A-Za-z0-9_.,:%~-]*")
"""pybit escapes nothing in a query; a cursor comes escaped already."""


class BybitClient(HTTP):  # type: ignore[misc]  # pybit has no types
    """pybit's HTTP with one attempt a call.

    Args:
        endpoint: of the exchange, or of a stand-in on this machine.
        api_key: none for public data.
        api_secret: that of the key.
        timeout_s: of one attempt, from its first byte to its last.

    Raises:
        HostError: an endpoint that is not allowed.
    """

    def __init__(
        self,
        endpoint: str = MAINNET,
        *,
        api_key: str | None = None,
        api_secret: str | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        """Make the session; nothing is sent yet."""
        check_url(endpoint, "rest")
        handlers = list(logging.getLogger("pybit._http_manager").handlers)
        super().__init__(
            api_key=api_key,
            api_secret=api_secret,
            timeout=timeout_s,
            max_retries=1,
            force_retry=False,
            log_requests=False,
        )
        self.logger.handlers[:] = handlers  # pybit adds one more for every client
        self.retry_codes: set[int] = set()  # the constructor takes an empty set for none said
        self.endpoint = endpoint.rstrip("/")
        plain: requests.Session = self.client
        plain.close()
        self.client: GuardedSession = GuardedSession()
        self.client.headers.update(plain.headers)
        self.client.trust_env = not is_loopback(endpoint)  # a proxy can't reach this machine

    def __repr__(self) -> str:
        """The address, and no key."""
        return f"BybitClient({self.endpoint!r})"

    def close(self) -> None:
        """Close the connections that are kept."""
        self.client.close()

    def break_off(self) -> None:
        """End what is on its way, and whatever is asked later."""
        self.client.stopped.set()

    def _clean_query(self, query: Mapping[str, Any] | None) -> dict[str, Any]:
        """Refuse what would be read as another parameter.

        Raises:
            MtfError: a value with a character of its own meaning in an address.
        """
        cleaned: dict[str, Any] = super()._clean_query(None if query is None else dict(query))
        for name, value in cleaned.items():
            if not PLAIN_VALUE.fullmatch(str(value)):
                raise MtfError(
                    f"found {name}={str(value)[:60]!r} in a request",
                    "letters, digits and _.,:%~-",
                    "nothing was sent; write the value without other characters",
                )
        return cleaned
