"""``mtf list``: every plug-in there is, broken ones with their reason. Imports none of them."""

from __future__ import annotations

from fnmatch import fnmatch

from mtf import bench
from mtf.errors import PluginError
from mtf.plugins.registry import GROUPS, Entry, did_you_mean, entries


def main(pattern: str = "*") -> None:
    """Print plug-ins as a table: kind, name, first line of the documentation.

    Args:
        pattern: a kind (singular or plural), or a glob for kinds and names such as ``enc*``;
            ``benchmark`` lists what ``mtf bench`` runs.

    Raises:
        PluginError: nothing matches.
    """
    if pattern in ("benchmark", "benchmarks"):
        print(*bench.lines(), sep="\n")
        return
    found = matching(pattern)
    widths = [max(len(entry.kind) for entry in found), max(len(entry.name) for entry in found)]
    for entry in found:
        print(f"{entry.kind:<{widths[0]}}  {entry.name:<{widths[1]}}  {_said(entry)}")


def matching(pattern: str) -> list[Entry]:
    """The plug-ins whose kind (singular or plural) or name fits a glob.

    Raises:
        PluginError: nothing matches.
    """
    everything = [entry for kind in GROUPS for entry in entries(kind)]
    found = [entry for entry in everything if any(fnmatch(w, pattern) for w in _words(entry))]
    if found:
        return found
    known = sorted({word for entry in everything for word in _words(entry)})
    raise PluginError(
        f"no plug-in fits {pattern!r}",
        "a kind, a name, or a glob such as 'enc*'",
        did_you_mean(pattern, known) or "`mtf list` shows all",
    )


def _words(entry: Entry) -> tuple[str, ...]:
    return entry.kind, GROUPS[entry.kind].removeprefix("mtf."), entry.name


def _said(entry: Entry) -> str:
    problem = entry.problem()
    said = f"LOAD FAILED: {problem}" if problem else entry.summary()
    return f"{said} [{entry.origin}]" if entry.foreign else said


if __name__ == "__main__":
    import sys

    from mtf.cli import main as cli

    cli(["list", *sys.argv[1:]])
