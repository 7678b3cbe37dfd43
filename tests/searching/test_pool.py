"""Who does the jobs: what Ray says is told as an outcome, and what it lacks as a message.

Ray itself is tried in ``tests/test_sweep_verb.py``; here a stand-in says what it may say.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tasks import small_config

from mtf.config.sweep_schema import SearchConfig, SweepConfig
from mtf.errors import ConfigError
from mtf.searching.job import Goal, Job, Outcome
from mtf.searching.pool import Here, OverRay, pool_of

SWEEP = SweepConfig(base="x", search={"seed": SearchConfig(low=1, high=2)})


class RayError(Exception):
    """As Ray calls the base of what it raises."""


class RayTaskError(RayError):
    """As Ray calls what a task raised."""

    cause = ImportError("no mtf here")


class StandIn:
    """As much of the package ray as a pool uses; a task ends as its number says."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)
    _private = SimpleNamespace(worker=SimpleNamespace())

    def __init__(self, gpus: float = 0, refuses: bool = False) -> None:
        self.gpus, self.refuses = gpus, refuses
        self.stopped = False

    def init(self, **options: Any) -> None:
        if self.refuses:
            raise ConnectionError("nobody answers")

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0, **({"GPU": self.gpus} if self.gpus else {})}

    def remote(self, **options: Any) -> Callable[[Any], Any]:
        return lambda work: SimpleNamespace(remote=lambda job: job.number)

    def wait(self, references: list[int], num_returns: int) -> tuple[list[int], list[int]]:
        return references[-1:], references[:-1]

    def get(self, reference: int) -> Outcome:
        if reference == 1:
            raise RayError("a worker died")
        if reference == 2:
            raise RayTaskError("could not be unpickled")
        return Outcome([float(reference)], 0)

    def shutdown(self) -> None:
        self.stopped = True


def job(number: int) -> Job:
    return Job(number, None, Path(), Path(str(number)), small_config(), Goal("loss", True))


def test_outcomes_over_ray() -> None:
    pool = OverRay(StandIn(), 3, 0)
    for number in range(3):
        pool.submit(job(number))
    found = {done.number: outcome for done, outcome in (pool.wait() for _ in range(3))}
    assert found[0] == Outcome([0.0], 0)
    assert found[1] is None, "killed"
    assert found[2] is not None
    assert found[2].wrong == "its worker could not be set up: no mtf here"


def test_one_worker_here_needs_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pool_of(SWEEP) as pool:
        assert isinstance(pool, Here)


@pytest.mark.parametrize(
    ("ray", "keys", "words"),
    [
        (StandIn(), {"workers": 2, "gpus": 1.0}, "gpus: found 1 for each worker, where Ray sees 0"),
        (StandIn(refuses=True), {"address": "auto"}, "found auto: Ray says nobody answers"),
        (StandIn(refuses=True), {"workers": 2}, "Ray can't be started here"),
    ],
)
def test_what_ray_lacks_is_a_message(
    ray: StandIn, keys: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtf.searching.pool.needed", lambda name: ray)
    with pytest.raises(ConfigError, match=words), pool_of(SWEEP.model_copy(update=keys)):
        pytest.fail("began")
    assert ray.stopped != ray.refuses


def test_an_address_where_nobody_answers_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr("mtf.searching.pool.needed", lambda name: StandIn())
        with pool_of(SWEEP.model_copy(update={"address": f"ray://{address}"})) as pool:
            assert pool.size == 1
    with (
        pytest.raises(ConfigError, match=f"address: found {address}: Ray says .*refused"),
        pool_of(SWEEP.model_copy(update={"address": address})),
    ):
        pytest.fail("began")


def test_ray_is_stopped_when_the_sweep_is(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = StandIn(gpus=1)
    monkeypatch.setattr("mtf.searching.pool.needed", lambda name: ray)
    with pool_of(SWEEP.model_copy(update={"workers": 2, "gpus": 0.5})) as pool:
        assert pool.size == 2
        assert not ray.stopped
    assert ray.stopped
