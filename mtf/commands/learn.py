"""Commands that train, evaluate and trade."""

from __future__ import annotations

from typing import Annotated

import typer

from mtf import completion
from mtf.commands.app import Config, Overrides, Run, Trust, app
from mtf.errors import MtfError


@app.command()
def train(
    config: Annotated[
        str,
        typer.Argument(
            metavar="[CONFIG]",
            help="A YAML file, or the name of a config that comes with mtf, such as dsc_mtf.",
            autocompletion=completion.configs,
        ),
    ] = "",
    overrides: Overrides = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with an interrupted run.")
    ] = None,
    trust: Trust = False,
) -> None:
    """Train and evaluate; the last line names the run's folder."""
    if bool(config) == bool(resume):
        raise MtfError(
            "found both CONFIG and --resume RUN" if config else "found neither CONFIG nor --resume",
            "a config to start a run, or --resume with the folder of one to go on with",
            "such as `mtf train configs/dsc_mtf.yaml`",
        )
    print(f"mtf train {config or '--resume ' + str(resume)}", flush=True)  # torch takes seconds
    if config:
        from mtf.config.load import load_config

        load_config(config, overrides or [])  # so that its mistakes show before torch is loaded
    from mtf import train as verb

    verb.main(config, overrides or [], resume=resume, trust=trust)


@app.command()
def evaluate(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN|CONFIG", help="A run folder; with --walk-forward a config."),
    ],
    overrides: Overrides = None,
    symbol: Annotated[
        str | None,
        typer.Option(help="Measure this symbol alone, also one left out of training."),
    ] = None,
    degraded: Annotated[
        bool,
        typer.Option(
            "--degraded",
            help="Measure what it is worth with streams missing, late or frozen, and what each "
            "brings: a table, degraded.csv and TensorBoard images.",
        ),
    ] = False,
    walk_forward: Annotated[
        bool,
        typer.Option(
            "--walk-forward",
            help="Train CONFIG anew along time, fold by fold and seed by seed, and measure all "
            "that lies outside of training in one piece.",
        ),
    ] = False,
    processes: Annotated[
        int, typer.Option(min=1, help="Of a walk-forward: trainings side by side.")
    ] = 1,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the walk-forward that RUN names."),
    ] = False,
    trust: Trust = False,
) -> None:
    """Compute the figures of a run's test part again, or of a config walking forward in time."""
    _check_evaluate(overrides, walk_forward, symbol is not None or degraded, resume, processes)
    print(f"mtf evaluate {run}", flush=True)  # torch takes seconds
    if walk_forward and not resume:
        from mtf.config.load import load_config

        load_config(run, overrides or [])  # so that its mistakes show before torch is loaded
    from mtf import evaluate as verb

    if walk_forward:
        verb.walk_forward(run, overrides or [], processes=processes, resume=resume, trust=trust)
    else:
        verb.main(run, symbol=symbol, missing=degraded, trust=trust)


def _check_evaluate(
    overrides: list[str] | None, walk_forward: bool, of_run: bool, resume: bool, processes: int
) -> None:
    """Refuse what does not go together.

    Raises:
        MtfError: options of a walk-forward without it, or those of a run with it.
    """
    if walk_forward and (of_run or (resume and overrides)):
        raise MtfError(
            "found --walk-forward with --symbol, --degraded, or with --resume and overrides",
            "a config and overrides, or --resume and the folder of a walk-forward",
            "such as `mtf evaluate configs/dsc_mtf.yaml --walk-forward --processes 2`",
        )
    if not walk_forward and (overrides or resume or processes > 1):
        raise MtfError(
            "found overrides, --resume or --processes without --walk-forward",
            "a run, which is evaluated as it is",
            "add --walk-forward to train a config anew along time",
        )


@app.command()
def backtest(
    run: Run,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Of costs and backtest, such as costs.commission=0.0005."
        ),
    ] = None,
    part: Annotated[str, typer.Option(help="train, validation, calibration or test.")] = "test",
    engine: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Another backtest plug-in; `mtf list backtest`."),
    ] = None,
    policy: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another policy; `mtf list policy`.")
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="Trade this symbol alone.")] = None,
    trust: Trust = False,
) -> None:
    """Trade what a run said: costs, trades, baselines, and whether anything is left."""
    print(f"mtf backtest {run}", flush=True)  # imports take seconds
    from mtf import backtest as verb

    chosen = {"backtest.name": engine, "backtest.policy.name": policy}
    given = [f"{key}={name}" for key, name in chosen.items() if name is not None]
    verb.main(run, [*given, *(overrides or [])], part=part, symbol=symbol, trust=trust)


@app.command()
def null(
    config: Config,
    overrides: Overrides = None,
    worlds: Annotated[int, typer.Option(min=1, help="Worlds of each null.")] = 19,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of each training.")] = 150,
) -> None:
    """Retrain a small form of a config where nothing is to be found, and where something is."""
    print(f"mtf null {config}", flush=True)  # torch takes seconds
    from mtf.config.load import load_config

    load_config(config, overrides or [])  # so that its mistakes show before torch is loaded
    from mtf import null as verb

    verb.main(config, overrides or [], worlds=worlds, steps=steps)


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN ...", help="Two runs or more; the others are tested against the first."
        ),
    ],
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="Save the comparison as a page, too.")
    ] = None,
    trust: Trust = False,
) -> None:
    """Put runs side by side: settings, figures, and paired tests on the decisions they share."""
    print(f"mtf compare {' '.join(runs)}", flush=True)  # imports take seconds
    from mtf import compare as verb

    verb.main(runs, html=html, trust=trust)


@app.command()
def sweep(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A sweep file, such as configs/sweep.yaml; sweep is the one that comes with mtf.",
            autocompletion=completion.sweeps,
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="Keys of the sweep file, such as trials=50, or of the config that it varies.",
        ),
    ] = None,
) -> None:
    """Search values of any keys of a config by its validation part; repeated, it goes on."""
    print(f"mtf sweep {file}", flush=True)  # torch takes seconds
    from mtf.config.sweep_file import load_sweep

    load_sweep(file, overrides or [])  # so that its mistakes show before torch is loaded
    from mtf import sweep as verb

    verb.main(file, overrides or [])


@app.command()
def export(
    run: Run,
    out: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Where to; by default RUN/export.")
    ] = None,
    trust: Trust = False,
) -> None:
    """Write a run as ONNX, with a runner that needs neither torch nor mtf."""
    print(f"mtf export {run}", flush=True)  # torch takes seconds
    from mtf import export as verb

    verb.main(run, out, trust=trust)
