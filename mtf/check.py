"""``mtf check KIND NAME``: every promise of a plug-in's contract, tried; all defects are listed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mtf.config.merge import overridden
from mtf.config.mistakes import Mistake, MistakesError, from_pydantic
from mtf.config.values import to_ms
from mtf.config.yaml_text import Document
from mtf.errors import DataError
from mtf.market.timeframe import Timeframe
from mtf.plugins import registry
from mtf.plugins.files import load_files
from mtf.plugins.signature import REQUIRED, options, options_model

if TYPE_CHECKING:
    from mtf.plugins.contracts import Request
    from mtf.testing.contract import Outcome

ASK = "say by --ask 'SYMBOL TIMEFRAME START END' what it has, once for each kind of candles"


def main(
    kind: str,
    name: str,
    given: Sequence[str] = (),
    plugins: Sequence[str] = (),
    asked: Sequence[str] = (),
) -> bool:
    """Print one line a check, and how many passed.

    Args:
        kind: such as ``encoder``.
        name: of the plug-in.
        given: its options as ``key=value``.
        plugins: files to run first; they register by decorator.
        asked: what a data source is asked for, as ``SYMBOL TIMEFRAME START END``.

    Returns:
        Whether all passed.

    Raises:
        MtfError: no such plug-in, options that it does not have, or nothing to try it on.
    """
    load_files(plugins)
    entry = registry.find(kind, name)
    chosen = _options(entry, given)
    requests = [_request(text) for text in asked]
    print(f"mtf check {entry.kind} {name}: {entry.place}", flush=True)  # torch takes seconds
    from mtf.testing.contract import outcomes
    from mtf.testing.registered import DEFAULT_REQUESTS, checks_of
    from mtf.testing.speed import speed_check

    checks = checks_of(entry.kind, name, chosen, requests or DEFAULT_REQUESTS)
    found = []
    try:
        for outcome in outcomes((*checks, *speed_check(entry.kind, name, chosen))):
            found.append(outcome)
            print(_line(outcome, max(len(check.name) for check in checks)), flush=True)
    except DataError as error:
        todo = f"{error.todo}; {ASK}" if error.todo else ASK
        raise DataError(error.found, error.expected, todo) from error
    failed = [outcome.name for outcome in found if not outcome.passed]
    print(f"{len(found) - len(failed)} of {len(found)} checks passed")
    return not failed


def _options(entry: registry.Entry, given: Sequence[str]) -> dict[str, Any]:
    """The options of the line, checked like those of a config.

    Raises:
        ConfigError: unknown, missing or of the wrong type.
    """
    document = overridden(Document({}), given)
    known = {option.name: option for option in options(entry)}
    listed = f"one of {', '.join(known)}" if known else f"no option: {entry.name} has none"
    mistakes = [
        Mistake((key,), "no such option", listed, registry.did_you_mean(key, known))
        for key in document.values
        if key not in known
    ]
    mistakes += [
        Mistake(
            (option.name,),
            f"{entry.kind} {entry.name!r} needs it and it is not given",
            option.description or "a value",
            f"add {option.name}=… to the line",
        )
        for option in known.values()
        if option.default is REQUIRED and option.name not in document.values
    ]
    if mistakes:
        raise MistakesError(mistakes, document)
    try:
        checked = options_model(entry).model_validate_json(json.dumps(document.values))
    except ValidationError as error:
        raise MistakesError(from_pydantic(error, document.values), document) from None
    dumped: dict[str, Any] = checked.model_dump(mode="json", warnings=False)
    return dumped


def _request(text: str) -> Request:
    """``ETHUSDT 1m 2024-01-01 2024-01-03`` as a request."""
    from mtf.plugins.contracts import Request

    try:
        symbol, timeframe, start, end = text.split()
        return Request(symbol, Timeframe.parse(timeframe), to_ms(start), to_ms(end))
    except ValueError as error:
        raise DataError(
            f"found --ask {text!r} ({error})",
            "symbol, timeframe, start and end (UTC), such as 'ETHUSDT 1m 2024-01-01 2024-01-03'",
            "put the four in quotes",
        ) from None


def _line(outcome: Outcome, width: int) -> str:
    """``passed`` or ``FAILED``, the name, and what there is to say; further lines are indented."""
    word = "passed" if outcome.passed else "FAILED"
    first, *rest = outcome.said.splitlines() or [""]
    lines = [f"  {word}  {outcome.name:<{width}}  {first}", *(f"    {line}" for line in rest)]
    return "\n".join(line.rstrip() for line in lines)


if __name__ == "__main__":
    import sys

    from mtf.cli import main as cli

    cli(["check", *sys.argv[1:]])
