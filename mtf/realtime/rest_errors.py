"""What goes wrong with a question to the exchange, by what is to be done about it.

It passes by itself (``PassingError``), it would come again (``RefusedError``), or nothing may be
sent for a while (``BannedError``). Whatever is answered is one of them.
"""

from __future__ import annotations

from pybit.exceptions import FailedRequestError, InvalidRequestError

from mtf.errors import MtfError

PASSING_CODES = (10000, 10002, 10006, 10016)
"""Server time-out, clock, over the limit, service restarting."""
CLOCK_CODE = 10002
LIMIT_CODE = 10006
RESET_HEADER = "X-Bapi-Limit-Reset-Timestamp"
RESET_DIGITS = 15
"""Of a time in ms; more is none."""
MALFORMED = (
    *(AttributeError, IndexError, KeyError, OverflowError, RecursionError),
    *(TypeError, ValueError),
)
"""What reading an answer raises that is not what was asked for."""


class ExchangeError(MtfError):
    """The exchange did not answer what was asked."""


class RefusedError(ExchangeError):
    """The exchange refuses a question, and would again.

    Attributes:
        code: the exchange's own, or the HTTP status.
    """

    def __init__(self, code: int, found: str, expected: str = "", todo: str = "") -> None:
        """Keep the code."""
        super().__init__(found, expected, todo)
        self.code = code


class BannedError(ExchangeError):
    """The exchange takes no questions from this address: stop at once."""


class StoppedError(ExchangeError):
    """Somebody else's failure ended the work; nothing more is asked."""


class PassingError(Exception):
    """A failure that may pass.

    Args:
        text: what happened.
        reset_ms: when to come again, where the exchange says so (ms of the wall clock).
        clock: whether our clock is why.
    """

    def __init__(self, text: str, reset_ms: int | None = None, *, clock: bool = False) -> None:
        """Keep all of it."""
        super().__init__(text)
        self.reset_ms, self.clock = reset_ms, clock


def coded(what: str, error: InvalidRequestError) -> Exception:
    """An answer with a code of the exchange."""
    code, words = error.status_code, shown(error.message)
    if type(code) is not int:  # of somebody in between: a gateway, a proxy
        return PassingError(f"a code that is none, {shown(code)} ({words})")
    if code in PASSING_CODES:
        reset = str((error.resp_headers or {}).get(RESET_HEADER, ""))
        told = code == LIMIT_CODE and reset.isdecimal() and len(reset) <= RESET_DIGITS
        when = int(reset) if told else None
        return PassingError(f"code {code} ({words})", when, clock=code == CLOCK_CODE)
    return RefusedError(
        code,
        f"the exchange refuses {what} with code {code}: {words}",
        "a question that it answers",
        "check symbol, category and times",
    )


def failed(what: str, error: FailedRequestError) -> Exception:
    """A status other than 200, or no JSON, which pybit calls 409."""
    status = int(error.status_code)
    if status == 409:
        return PassingError("an answer that is no JSON")
    if status == 429 or status >= 500:
        return PassingError(f"status {status}")
    if status == 403:
        return BannedError(
            "the exchange takes no requests from this address (status 403)",
            "at most 600 requests in 5 seconds, from a country that it serves",
            "wait 10 minutes, ask for fewer a second, and run it again: it goes on where it "
            "stopped",
        )
    return RefusedError(
        status,
        f"{what} was answered with status {status}",
        "200",
        "check data.endpoint (--endpoint): redirects are not followed",
    )


def shown(words: object) -> str:
    """The beginning of what a stranger says, in characters that any terminal and file can take."""
    return repr(str(words)[:160])[1:-1]
