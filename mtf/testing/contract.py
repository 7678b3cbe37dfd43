"""A contract as a list of named checks: stop at the first defect, or go on and list them all."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from mtf.errors import ConfigError, ContractError, DataError
from mtf.testing.probe import seeded

LIBRARIES = ("torch", "numpy", "pandas", "jaxtyping", "beartype", "einops")
"""In whose code an error may surface that is none of theirs."""


@dataclass(frozen=True)
class Check:
    """One promise of a contract.

    Attributes:
        name: such as ``causality``.
        attempt: tries it; returns the figure it measured (empty = none).
        vital: where it fails, those after it can't be tried.
        seed: of the random numbers it draws.
    """

    name: str
    attempt: Callable[[], str]
    vital: bool = False
    seed: int = 0

    def run(self) -> str:
        """Try it; the same every time.

        Raises:
            ContractError: the plug-in does not keep its promise.
        """
        with seeded(self.seed):
            return self.attempt()


@dataclass(frozen=True)
class Outcome:
    """What a check found.

    Attributes:
        name: of the check.
        passed: whether the promise is kept.
        said: the figure where it is, else the defect.
    """

    name: str
    passed: bool
    said: str


def require(checks: Iterable[Check]) -> None:
    """Run checks up to the first defect.

    Raises:
        ContractError: that defect.
    """
    for check in checks:
        check.run()


def outcomes(checks: Iterable[Check]) -> Iterator[Outcome]:
    """Run checks one by one and go on after a defect; only a vital one ends the list.

    Whatever a plug-in raises is its defect, with the place.

    Raises:
        ConfigError: it refuses the options it was given.
        DataError: a data source has nothing of what it is asked for.
    """
    for check in checks:
        outcome = _outcome(check)
        yield outcome
        if check.vital and not outcome.passed:
            return


def _outcome(check: Check) -> Outcome:
    try:
        return Outcome(check.name, True, check.run())
    except ContractError as error:
        return Outcome(check.name, False, str(error))
    except Exception as error:  # a stranger's code may raise anything
        if check.vital and isinstance(error, ConfigError | DataError):
            raise
        return Outcome(
            check.name, False, f"raises {type(error).__name__}: {error} ({_place(error)})"
        )


def _place(error: Exception) -> str:
    """File and line of the innermost frame that is not of a library."""
    frames = list(traceback.walk_tb(error.__traceback__))
    own = [f for f in frames if f[0].f_globals.get("__name__", "").split(".")[0] not in LIBRARIES]
    frame, line = (own or frames)[-1]
    return f"{frame.f_code.co_filename}, line {line}"


__all__ = ["Check", "Outcome", "outcomes", "require"]
