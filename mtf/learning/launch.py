"""Several processes for one training: started here, on this machine, or by torchrun and the like.

Each process prepares the same task and learns from its share of every batch. The one that leads
(rank 0) is the process that was asked to train: it alone writes, prints and validates. The others
say nothing; what goes wrong in one of them is told by the one that leads, and all end.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import (
    LightningEnvironment,
    find_free_network_port,
)
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import distributed, nn

from mtf.config.schema import Config
from mtf.errors import ConfigError, DataError
from mtf.learning.log import Quiet
from mtf.learning.task import Task, fabric_of, prepare
from mtf.learning.workers import Workers
from mtf.plugins.files import load_files

LOOPBACK = "127.0.0.1"
PATIENCE = timedelta(days=1)
"""How long a process waits for another, which may validate meanwhile; one that ended is noticed."""
SET = ("MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS", "GLOO_SOCKET_IFNAME")
"""Environment variables that are changed when processes meet, and put back."""


class Place(LightningEnvironment):
    """Where a process stands among those that mtf has started itself.

    Args:
        local_rank: its number on this machine.
        node_rank: that of the machine.
        address: of the machine that leads.
        port: at which its process that leads is met.
    """

    def __init__(self, local_rank: int, node_rank: int, address: str, port: int) -> None:
        super().__init__()
        self._local_rank, self._node_rank = local_rank, node_rank
        self._address, self._main_port = address, port

    creates_processes_externally = True
    main_address = property(lambda self: self._address)

    def local_rank(self) -> int:
        """Its number on this machine."""
        return self._local_rank

    def node_rank(self) -> int:
        """That of the machine."""
        return self._node_rank

    def beside(self, local_rank: int) -> Place:
        """The place of another process of this machine."""
        return Place(local_rank, self._node_rank, self._address, self._main_port)


class SummedGradients(DDPStrategy):
    """Processes that meet as Fabric's DDP has them; their gradients are summed by the loop.

    torch's DDP would average them bucket by bucket, in an order that it finds while it runs, and
    has to be told of parameters without a gradient.
    """

    def setup_module(self, module: nn.Module) -> Any:
        """The module itself."""
        return module


def leads(config: Config) -> bool:
    """Whether this process is the one of its training that writes, prints and evaluates.

    Raises:
        ConfigError: processes were started by others, but not as many as the config says.
    """
    if ranks(config) == 1:
        if TorchElasticEnvironment.detect() and TorchElasticEnvironment().world_size() > 1:
            raise _other_number(config, "torchrun has started several processes")
        return True
    environment = _environment(config)
    return environment.node_rank() == 0 and environment.local_rank() == 0


@contextmanager
def together(task: Task) -> Iterator[Task]:
    """Within the block the task is that of all its processes; the others are started, and ended.

    Raises:
        MtfError: what went wrong in another process.
    """
    config = task.config
    if ranks(config) == 1:
        yield task
        return
    place = _environment(config)
    others = range(1, config.fabric.devices) if isinstance(place, Place) else ()
    places = [place.beside(rank) for rank in others] if isinstance(place, Place) else []
    with Workers(_follow, config, places) as workers:
        workers.wait_until_ready()
        with _met(task, place) as of_all:
            yield of_all


def follow(config: Config) -> None:
    """Learn beside the process that leads, which was started elsewhere.

    Raises:
        MtfError: config or data that can't be used, or are not those of the process that leads.
    """
    with suppress(KeyboardInterrupt), together(prepare(config)) as task:  # the one that leads tells
        _learn(task)


def _follow(config: Config, place: Place, ready: Any) -> None:
    """What a process does that this machine's first one has started; it knows no plug-in files."""
    load_files(config.plugins)
    task = prepare(config)
    ready()
    with _met(task, place) as of_all:
        _learn(of_all)


def _learn(task: Task) -> None:
    """Learn a share of every batch, from where the process that leads begins."""
    fitting = task.fitting(Quiet(), Quiet(), None)
    fitting.begin()
    fitting.run()


def ranks(config: Config) -> int:
    """How many processes a training has, on all machines."""
    return config.fabric.devices * config.fabric.num_nodes


@contextmanager
def _met(task: Task, environment: ClusterEnvironment) -> Iterator[Task]:
    """Within the block all processes of the training are connected."""
    threads, hook = torch.get_num_threads(), sys.excepthook
    before = {name: os.environ.get(name) for name in SET}
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it would announce itself
    if task.config.fabric.num_nodes == 1:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", _loopback())
    strategy = SummedGradients(timeout=PATIENCE)
    fabric = fabric_of(task.config, strategy=strategy, plugins=[environment])
    try:
        fabric.launch()
        torch.set_num_threads(threads)
        _check_candles(fabric, task)
        yield replace(task, fabric=fabric)
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
        sys.excepthook = hook  # torch's would put the rank before every line
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _loopback() -> str:
    """The network interface by which processes of one machine reach each other."""
    names = [name for _, name in socket.if_nameindex()]
    return next(name for name in names if name.startswith("lo"))


def _check_candles(fabric: Fabric, task: Task) -> None:
    """Processes of different candles would learn from something that is nobody's batch."""
    wanted = fabric.broadcast(task.fingerprint)
    if task.fingerprint != wanted:
        raise DataError(
            f"process {fabric.global_rank} has other candles than the one that leads: "
            f"fingerprint {task.fingerprint[:12]}",
            f"{wanted[:12]} in every process",
            "give all machines the same data",
        )


def _environment(config: Config) -> ClusterEnvironment:
    """Who has started the processes of a training, and which of them this one is."""
    strategy = SummedGradients()
    fabric_of(config, strategy=strategy)  # which finds out
    found = strategy.cluster_environment
    assert found is not None
    if found.creates_processes_externally:
        try:
            found.validate_settings(config.fabric.devices, config.fabric.num_nodes)
        except ValueError as error:
            raise _other_number(config, str(error)) from error
        return found
    if config.fabric.num_nodes == 1:
        return Place(0, 0, LOOPBACK, find_free_network_port())
    missing = [
        name for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK") if name not in os.environ
    ]
    if missing:
        raise ConfigError(
            f"fabric.num_nodes is {config.fabric.num_nodes}, and {', '.join(missing)} is not set",
            "on every machine the address and port of the first one, and its own number from 0",
            "set them and start the same command on each, or use torchrun",
        )
    return Place(0, found.node_rank(), found.main_address, found.main_port)


def _other_number(config: Config, found: str) -> ConfigError:
    """The error for processes that others have started, and not as many as the config says."""
    wanted = config.fabric
    return ConfigError(
        f"fabric.devices is {wanted.devices}, fabric.num_nodes {wanted.num_nodes}: {found}",
        "a process for each device of each machine",
        "set both as the processes are started, or start mtf train once and leave that to it",
    )


__all__ = ["follow", "leads", "ranks", "together"]
