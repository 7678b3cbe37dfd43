"""What every test shares: shapes checked at run time, one thread, Ctrl-C, the real data."""

from __future__ import annotations

import os
import signal

# A shell has its background jobs ignore Ctrl-C; tests that send it must be heard there too.
signal.signal(signal.SIGINT, signal.default_int_handler)

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"

from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
import wheels  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
REAL_DATA = ROOT.parent / "shared" / "data"


def _modules() -> list[str]:
    """Every module of mtf except the compiled kernels, which no checker may wrap.

    Nor mtf.config: pydantic checks its values, and has types that only it can check.
    """
    folders = {"mtf": "mtf", "mtf.encoders": "encoders", "mtf.heads": "heads"}
    folders["mtf.data_sources"] = "data_sources"
    found = []
    for package, folder in folders.items():
        for file in sorted((ROOT / folder).rglob("*.py")):
            parts = file.relative_to(ROOT / folder).with_suffix("").parts
            unchecked = file.stem.endswith("kernels") or parts[0] == "config"
            if file.stem != "__init__" and not unchecked:
                found.append(".".join((package, *parts)))
    return found


# How long an example takes says nothing where others use the machine, too. Where CI is set
# Hypothesis has a profile of its own, which draws the same examples every time.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if "CI" not in os.environ:
    settings.load_profile("shared")

_hook = install_import_hook(_modules(), "checking.typechecked")

import torch  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real market data; tests on it are skipped where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"real market data is not at {REAL_DATA}")
    return REAL_DATA


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this tree."""
    return wheels.build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with nothing but the wheel."""
    return wheels.install(wheel, tmp_path_factory.mktemp("environment"))
