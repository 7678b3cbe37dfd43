"""How long it takes to start, on the machine as it is now."""

from __future__ import annotations

import subprocess
import sys
import time


def seconds_to_import() -> float:
    """Of the command line and all that it checks a config by; torch is not among it."""
    start = time.perf_counter()
    code = "import mtf.cli, mtf.config.load"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    return time.perf_counter() - start
