from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CALLED = """
from mtf.compiled import cached_njit

@cached_njit()
def called(x):
    return {what}
"""
CALLER = """
from mtf.compiled import cached_njit
from called_kernels import called

@cached_njit()
def caller(x):
    return called(x) + 1
"""
RUN = """
from pathlib import Path
import mtf.compiled
mtf.compiled.FOLDER = Path.cwd()
from caller_kernels import caller
print(caller(2.0), sum(caller.stats.cache_hits.values()))
"""


def said(folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_a_kernel_is_compiled_anew_when_what_it_calls_has_changed(tmp_path: Path) -> None:
    (tmp_path / "caller_kernels.py").write_text(CALLER)
    (tmp_path / "called_kernels.py").write_text(CALLED.format(what="x * 10"))
    assert said(tmp_path) == ["21.0", "0"]
    assert said(tmp_path) == ["21.0", "1"], "from the cache"
    (tmp_path / "called_kernels.py").write_text(CALLED.format(what="x * 100"))
    assert said(tmp_path) == ["201.0", "0"]
