"""Errors a user can mend: what was found, what was expected, what to do.

Every mistake of a user ends in one of these; the command line prints the message without a
traceback and leaves with exit code 2. Anything else that is raised is a defect of mtf.
"""

from __future__ import annotations


class MtfError(Exception):
    """A user's mistake, told in three parts.

    Args:
        found: what is there, with its place (file and line, or the key's dotted path).
        expected: what should be there.
        todo: what the user can do about it.
    """

    def __init__(self, found: str, expected: str = "", todo: str = "") -> None:
        """Keep the three parts and join them into one message."""
        super().__init__(found, expected, todo)
        self.found = found
        self.expected = expected
        self.todo = todo

    def __str__(self) -> str:
        """One line a part; empty parts are left out."""
        parts = [self.found]
        if self.expected:
            parts.append(f"  expected: {self.expected}")
        if self.todo:
            parts.append(f"  to do: {self.todo}")
        return "\n".join(parts)


class ConfigError(MtfError):
    """A config that does not fit the schema, or parts of it that do not fit each other."""


class DataError(MtfError):
    """Candles or files that can't be used as they are."""


class PluginError(MtfError):
    """A plug-in that is unknown, defined twice, or broken."""


class CheckpointError(MtfError):
    """A checkpoint or run folder that is damaged, foreign or missing."""


class LookaheadError(MtfError):
    """Something reached further ahead than it declared."""


class ContractError(MtfError):
    """A plug-in that does not keep its contract; raised by ``mtf.testing``."""
