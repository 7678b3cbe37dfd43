"""What needs the packages of the extra ``live``, and what to do where they are not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mtf.errors import MtfError

INSTALL = 'pip install "mtf[live]"'


@contextmanager
def live_extra(what: str) -> Iterator[None]:
    """Import what speaks to the exchange.

    Args:
        what: needs it, such as ``mtf fetch``.

    Raises:
        MtfError: a package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MtfError(
            f"no package {error.name}, which {what} needs", "the extra live", INSTALL
        ) from None
