"""Errors a user can mend: what was found, what was expected, what to do."""

from __future__ import annotations


class RunnerError(Exception):
    """A user's mistake, told in three parts.

    Args:
        found: what is there, with its place.
        expected: what should be there.
        todo: what can be done about it.
    """

    def __init__(self, found: str, expected: str = "", todo: str = "") -> None:
        """Keep the three parts."""
        super().__init__(found, expected, todo)
        self.found, self.expected, self.todo = found, expected, todo

    def __str__(self) -> str:
        """One line a part; empty parts are left out."""
        parts = [self.found]
        parts += [f"  expected: {self.expected}"] if self.expected else []
        parts += [f"  to do: {self.todo}"] if self.todo else []
        return "\n".join(parts)


__all__ = ["RunnerError"]
