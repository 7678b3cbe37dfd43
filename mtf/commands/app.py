"""The command line's app, and what its commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from mtf import completion

app = typer.Typer(
    name="mtf",
    no_args_is_help=True,
    rich_markup_mode=None,  # rich would double the time that --help takes
    pretty_exceptions_enable=False,
)

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Such as model.encoder.kernel_size=9; values as in YAML.",
        autocompletion=completion.overrides,
    ),
]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A run folder.")]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust-plugins", help="Run the plug-in files that the run's config names. They are code."
    ),
]
Kind = Annotated[str, typer.Argument(metavar="KIND", autocompletion=completion.kinds)]
Name = Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.plugins)]
Config = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG",
        help="A YAML file, or the name of a config that comes with mtf, such as dsc_mtf.",
        autocompletion=completion.configs,
    ),
]


def _version(wanted: bool) -> bool:
    """Say which mtf this is, and nothing else."""
    if wanted:
        from importlib.metadata import version

        typer.echo(f"mtf {version('mtf')}")
        raise typer.Exit
    return wanted


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Say which version this is.", callback=_version, is_eager=True
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks. May stand anywhere on the line.")
    ] = False,
) -> None:
    """Multi-timeframe models of crypto candles: train, evaluate, look inside."""
