"""``mtf evaluate RUN``: the figures of a run's test part, computed again from its best weights."""

from __future__ import annotations

if __name__ == "__main__":  # first, so that a line appears before torch is imported
    import sys

    from mtf.cli import main as cli

    cli(["evaluate", *sys.argv[1:]])

from mtf.evaluation.part import evaluate_part_of
from mtf.report.terminal import Terminal
from mtf.run import keep, load


def main(run: str, *, trust: bool = False) -> None:
    """Evaluate a run again: prints the table, rewrites metrics.json and predictions.parquet.

    Args:
        run: a run folder, or a name (its latest).
        trust: run the plug-in files that the run's config names.

    Raises:
        MtfError: no such run, changed candles, or damaged checkpoints.
    """
    found = load(run, trust_plugins=trust)
    terminal = Terminal()
    for note in found.notes:
        terminal.line(f"note: {note}")
    terminal.passed_over(found.best().rejected)
    done = evaluate_part_of(found.task(), samples_per_second=found.training_speed)
    terminal.results(done.results)  # first, so that they are seen where nothing can be written
    keep(found, done)
    terminal.line(str(found.path))
