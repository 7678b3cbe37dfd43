"""``mtf compare RUN RUN …``: runs side by side, and tested on the decisions that they share."""

from __future__ import annotations

if __name__ == "__main__":  # first, so that a line appears before torch is imported
    import sys

    from mtf.cli import main as cli

    cli(["compare", *sys.argv[1:]])

from collections.abc import Sequence
from pathlib import Path

from mtf.errors import CheckpointError, ConfigError, DataError
from mtf.evaluation.between_runs import Between, between
from mtf.learning.disk import replace_synced
from mtf.report.comparison import Compared, compared_sections, sentence
from mtf.report.html import page_of
from mtf.report.material import Material
from mtf.report.tables import print_sections
from mtf.report.terminal import Terminal
from mtf.run import Run, load


def main(runs: Sequence[str], *, html: str | None = None, trust: bool = False) -> None:
    """Print what differs between runs, their figures, and who beats whom.

    Args:
        runs: run folders or names (their latest), two at least; the others are tested against the
            first.
        html: file to write the same to, as one page with figures.
        trust: run the plug-in files that the runs' configs name.

    Raises:
        MtfError: no such run, fewer than two, or none shares a decision with the first.
    """
    found = compare([load(run, trust_plugins=trust) for run in _different(runs)])
    terminal, sections = Terminal(), compared_sections(found)
    terminal.line(sentence(found))
    print_sections(sections, terminal.console)
    if html is not None:
        _write(Path(html), page_of(" beside ".join(found.names), sentence(found), sections))
        terminal.line(html)


def compare(runs: Sequence[Run]) -> Compared:
    """Put runs beside each other.

    Raises:
        MtfError: damaged files, or none of the runs shares a decision with the first.
    """
    material = [Material.of_folder(run.path) for run in runs]
    configs = [run.config.model_dump(mode="json", by_alias=True) for run in runs]
    tested = [_tested(material[0], other) for other in material[1:]]
    reasons = [one for one in tested if isinstance(one, DataError)]
    if len(reasons) == len(tested):
        raise reasons[0]
    return Compared(material, configs, [_or_reason(one) for one in tested])


def _tested(first: Material, other: Material) -> list[Between] | DataError:
    """The first run against another; why not."""
    for one in (first, other):
        if not one.predictions:
            reason = f"{one.name} has no predictions.parquet"
            return DataError(reason, "a run that was evaluated", "mtf evaluate it first")
    try:
        return between(first.predictions, other.predictions)
    except DataError as error:
        return error


def _or_reason(found: list[Between] | DataError) -> list[Between] | str:
    return str(found.found) if isinstance(found, DataError) else found


def _different(runs: Sequence[str]) -> Sequence[str]:
    """At least two, none of them twice."""
    if len(runs) < 2 or len(set(runs)) < len(runs):
        raise ConfigError(
            f"found {', '.join(runs) or 'no run'}",
            "at least two runs, none of them twice",
            "such as mtf compare runs/a/2024-01-01T00-00-00Z runs/b/2024-01-01T00-00-00Z",
        )
    return runs


def _write(path: Path, text: str) -> None:
    try:
        replace_synced(path, text.encode())
    except OSError as error:
        raise CheckpointError(
            f"could not write {path}: {error.strerror or error}",
            "a writable folder with room for it",
            "give another file to --html",
        ) from error
