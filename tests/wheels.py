"""The wheel of this tree, and an environment that has nothing but it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]


def attempt(
    *command: str | Path, folder: Path, extra: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What a command does; no variable of the tests' Python leaks in."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV"))}
    # Configs ask for two threads (fabric.threads); on a busy machine they wait for each other.
    environment["OMP_THREAD_LIMIT"] = "1"
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**environment, **(extra or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


def run(*command: str | Path, folder: Path, extra: Mapping[str, str] | None = None) -> str:
    """Standard output of a command that must succeed."""
    done = attempt(*command, folder=folder, extra=extra)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(folder: Path) -> Path:
    """Build the wheel into ``folder``."""
    (ROOT / "build").mkdir(exist_ok=True)
    with FileLock(ROOT / "build" / "wheel.lock"):  # tests run side by side, the folder is one
        # What lies there would lend removed files to the wheel.
        shutil.rmtree(ROOT / "build" / "lib", ignore_errors=True)
        run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT, folder=ROOT)
    (path,) = folder.glob("mtf-*.whl")
    return path


def install(wheel: Path, home: Path) -> Path:
    """Python of an environment with nothing but the wheel; its dependencies are the tests' own."""
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel, folder=home)
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=home)
    # A path file appends: the wheel's own mtf comes first, and editable hooks are not run.
    theirs = [path for path in sys.path if path.endswith("-packages")]
    (Path(site.strip()) / "dependencies.pth").write_text("\n".join(theirs))
    return python
