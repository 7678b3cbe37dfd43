"""Questions to the exchange that are asked again until there is an answer, or no hope of one.

pybit asks once and knows few of its own failures (see ``bybit_client``). Here every failure has a
class (``rest_errors``): what passes by itself is asked again after a while, a ban stops everything
at once, and any other refusal is told as it is. Only for what may be asked twice: never for orders.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import requests
from pybit.exceptions import FailedRequestError, InvalidRequestError

from mtf.realtime.pace import PER_SECOND, Pace, RealTime, Time
from mtf.realtime.rest_errors import (
    MALFORMED,
    BannedError,
    ExchangeError,
    PassingError,
    RefusedError,
    StoppedError,
    coded,
    failed,
)

T = TypeVar("T")

ATTEMPTS = 8
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
KINDS = 50
"""Of failures, that are counted one by one."""
BAN_S = 600.0
"""What the exchange asks for after a status 403."""


@dataclass
class Asked:
    """What the asking came to so far.

    Attributes:
        requests: sent, failed ones too.
        failures: of them, those that were asked again, by what happened.
    """

    requests: int
    failures: dict[str, int]


@runtime_checkable
class Breakable(Protocol):
    """A client whose questions can be broken off."""

    def break_off(self) -> None:
        """End at once what is on its way, and all that will be."""


class Rest:
    """Asks through a client of pybit; several threads may share it.

    Args:
        client: such as a ``BybitClient``, which sends one request a call.
        per_second: requests a second, of all threads together.
        attempts: of one question.
        ban_s: how long nothing is sent after a status 403.
        time: as it passes; tests hand in their own.
        seed: of the jitter; None = another one every time.

    Attributes:
        asked: counts.
        offset_ms: what the server's clock is ahead of ours, as last measured.
    """

    def __init__(
        self,
        client: Any,
        *,
        per_second: float = PER_SECOND,
        attempts: int = ATTEMPTS,
        ban_s: float = BAN_S,
        time: Time | None = None,
        seed: int | None = None,
    ) -> None:
        """Ask nothing yet."""
        self.client, self.attempts, self.ban_s = client, attempts, ban_s
        self.asked = Asked(0, {})
        self.offset_ms = 0
        self._time: Time = time or RealTime()
        self._pace = Pace(per_second, self._time)
        self._jitter = random.Random(seed)
        self._lock = threading.Lock()
        self._stopped: StoppedError | None = None
        self._banned: BannedError | None = None
        self._banned_until_s = float("-inf")

    def __repr__(self) -> str:
        """The client, which shows no key."""
        return f"Rest({self.client!r})"

    def close(self) -> None:
        """Close the client's connections."""
        self.client.close()

    def stop(self, why: str = "the work ended") -> None:
        """Let every question end in a ``StoppedError``: no answer is waited for any more."""
        with self._lock:
            self._stopped = self._stopped or StoppedError(why, "", "nothing more was asked")
        if isinstance(self.client, Breakable):
            self.client.break_off()
        if isinstance(self._time, RealTime):
            self._time.stop()

    def ask(self, method: str, read: Callable[[Any], T], **parameters: Any) -> T:
        """What an answer holds.

        Args:
            method: of the client, such as ``get_kline``.
            read: takes the answer's ``result`` apart; where it can't, the question is asked again.
            parameters: of the question.

        Raises:
            BannedError: status 403; for ``ban_s`` every later question ends in it, too, and is not
                sent.
            RefusedError: a refusal that would come again.
            ExchangeError: no answer in all attempts.
            StoppedError: ``stop`` was called.
        """
        what = _named(method, parameters)
        return self._insist(what, lambda: self._once(method, read, parameters))

    def server_ms(self) -> int:
        """The exchange's time; the offset of our clock is measured with it.

        Raises:
            ExchangeError: as ``ask``.
        """
        server, at_ms, _ = self.server_time(self._time.wall_ms)
        self.offset_ms = server - round(at_ms)
        return server

    def server_time(self, reading: Callable[[], float]) -> tuple[int, float, float]:
        """The exchange's time, by a clock of ours.

        Args:
            reading: of that clock, in ms.

        Returns:
            The time, what our clock said then, and how far off at most that is.

        Raises:
            ExchangeError: as ``ask``.
        """
        return self._insist("get_server_time", lambda: self._server_time(reading))

    def _insist(self, what: str, once: Callable[[], T]) -> T:
        """Ask until there is an answer.

        Args:
            what: is asked, in words.
            once: asks once.

        Raises:
            ExchangeError: as ``ask``.
        """
        failure = PassingError("nothing")
        for attempt in range(self.attempts):
            try:
                return once()
            except PassingError as error:
                failure = error
            self._count(failure)
            if attempt + 1 < self.attempts:
                self._time.sleep(self._wait_s(failure, attempt))
                if failure.clock:
                    self._measure()
        with self._lock:
            self._refuse()  # who is stopped meanwhile is told so
        ahead = f"; its clock is {self.offset_ms:+,} ms ahead of ours" if failure.clock else ""
        raise ExchangeError(
            f"no answer to {what} in {self.attempts} attempts; at last: {failure}{ahead}",
            f"an answer of {getattr(self.client, 'endpoint', 'the exchange')}",
            "check the network and the exchange's status, then run it again: it goes on where "
            "it stopped",
        )

    def _measure(self) -> None:
        """Measure the offset anew; where that fails, too, the next question will tell."""
        try:
            server, at_ms, _ = self._server_time(self._time.wall_ms)
        except PassingError as failure:
            self._count(failure)
        else:
            self.offset_ms = server - round(at_ms)

    def _server_time(self, reading: Callable[[], float]) -> tuple[int, float, float]:
        """One measurement: our clock is taken to be halfway between question and answer.

        Raises:
            PassingError: it may be asked again.
        """
        asked: list[float] = []
        server = self._once(
            "get_server_time",
            lambda result: int(result["timeNano"]) // 1_000_000,
            {},
            lambda: asked.append(reading()),
        )
        answered = reading()
        return server, (asked[0] + answered) / 2, (answered - asked[0]) / 2

    def _once(
        self,
        method: str,
        read: Callable[[Any], T],
        parameters: Mapping[str, Any],
        sending: Callable[[], None] = lambda: None,
    ) -> T:
        """One request; ``sending`` is called right before it goes.

        Raises:
            PassingError: it may be asked again.
        """
        self._pace.wait()
        with self._lock:
            self._refuse()
            self.asked.requests += 1
        sending()
        try:
            return read(getattr(self.client, method)(**parameters)["result"])
        except InvalidRequestError as error:
            raise coded(_named(method, parameters), error) from None
        except FailedRequestError as error:
            raise self._heeded(failed(_named(method, parameters), error)) from None
        except (requests.RequestException, TimeoutError) as error:
            raise PassingError(f"no connection ({type(error).__name__})") from None
        except MALFORMED as error:
            raise PassingError(f"an answer of another form ({type(error).__name__})") from None

    def _refuse(self) -> None:
        """Ask nothing more after ``stop``, and nothing while a ban lasts.

        Raises:
            StoppedError: the one.
            BannedError: the other.
        """
        if self._stopped is not None:
            raise self._stopped
        if self._banned is not None:
            if self._time.monotonic() < self._banned_until_s:
                raise self._banned
            self._banned = None

    def _heeded(self, failure: Exception) -> Exception:
        """The same failure; after a ban nothing is sent for a while."""
        if isinstance(failure, BannedError):
            with self._lock:
                self._banned = failure
                self._banned_until_s = self._time.monotonic() + self.ban_s
        return failure

    def _wait_s(self, failure: PassingError, attempt: int) -> float:
        """Twice as long every time, with jitter; until the reset where that is told and later."""
        longest = min(FIRST_WAIT_S * 2.0**attempt, LONGEST_WAIT_S)
        with self._lock:
            wait = longest * self._jitter.uniform(0.5, 1.0)
        if failure.reset_ms is None:
            return wait
        until_reset = (failure.reset_ms - self._time.wall_ms()) / 1_000
        return max(wait, min(until_reset, LONGEST_WAIT_S))

    def _count(self, failure: PassingError) -> None:
        """Write a failure down."""
        with self._lock:
            words = str(failure)
            if words not in self.asked.failures and len(self.asked.failures) >= KINDS:
                words = "others"  # some have a time in their words: all are new
            self.asked.failures[words] = self.asked.failures.get(words, 0) + 1


def _named(method: str, parameters: Mapping[str, Any]) -> str:
    """A question in words."""
    return f"{method} of {parameters['symbol']}" if "symbol" in parameters else method


__all__ = [
    "MALFORMED",
    "Asked",
    "BannedError",
    "ExchangeError",
    "PassingError",
    "RefusedError",
    "Rest",
    "StoppedError",
]
