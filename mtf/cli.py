"""The command line: one thin command a verb, everything heavy imported inside of it.

A user's mistake ends with its message and exit code 2, a defect of mtf with one line and exit
code 1; neither shows a traceback unless ``--debug`` is given.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

from mtf.commands import learn, live, look
from mtf.commands.app import app
from mtf.errors import MtfError
from mtf.plugins.blame import blame

COMMANDS = learn, live, look
"""Importing them gives the app its commands."""

__all__ = ["app", "main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code.

    Args:
        arguments: without the program's name; None = those of the process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    try:
        app([word for word in given if word != "--debug"], prog_name="mtf")
    except MtfError as error:
        if debug:
            traceback.print_exc()
        print(error, file=sys.stderr)
        sys.exit(2)
    except Exception as error:  # the last resort: a defect of a plug-in or of mtf
        if debug:
            raise
        named = blame(error)
        if named:
            print(named, file=sys.stderr)
            sys.exit(2)
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        print("  this is a defect of mtf or of a plug-in, not of your config", file=sys.stderr)
        print("  to do: add --debug to see where it happened, and report it", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
