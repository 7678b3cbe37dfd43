"""``python -m mtf`` is ``mtf``."""

from mtf.cli import main

main()
