"""The checks of a plug-in by kind and name, as a config would name it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from mtf.market.timeframe import Timeframe
from mtf.plugins import registry
from mtf.plugins.contracts import Request
from mtf.testing.backtests import checks_of_backtest
from mtf.testing.contract import Check
from mtf.testing.encoders import checks_of_encoder
from mtf.testing.features import checks_of_feature_set
from mtf.testing.fusions import checks_of_fusion
from mtf.testing.heads import checks_of_head
from mtf.testing.losses import checks_of_loss
from mtf.testing.policies import checks_of_policy
from mtf.testing.side_inputs import checks_of_side_input
from mtf.testing.sources import checks_of_data_source

DAY_MS = 86_400_000
START_MS = 19_723 * DAY_MS
"""2024-01-01."""
DEFAULT_REQUESTS = tuple(
    Request(symbol, Timeframe.parse(name), START_MS, START_MS + 2 * DAY_MS)
    for symbol, name in (("ETHUSDT", "1m"), ("ETHUSDT", "1h"), ("BTCUSDT", "1m"))
)
"""Two days of what a config would ask for."""

CONTRACTS: dict[str, Callable[..., tuple[Check, ...]]] = {
    "backtest": checks_of_backtest,
    "encoder": checks_of_encoder,
    "feature": checks_of_feature_set,
    "fusion": checks_of_fusion,
    "head": checks_of_head,
    "loss": checks_of_loss,
    "policy": checks_of_policy,
    "side_input": checks_of_side_input,
}
"""Kind → its checks from a factory alone; those of a data source need requests, too."""


def checks_of(
    kind: str,
    name: str,
    options: Mapping[str, Any] | None = None,
    requests: Sequence[Request] = DEFAULT_REQUESTS,
    seed: int = 0,
) -> tuple[Check, ...]:
    """The promises of a registered plug-in, one by one.

    Args:
        kind: such as ``encoder``.
        name: of the plug-in.
        options: its config keys; those left out have their defaults.
        requests: what a data source is asked for.
        seed: of the random numbers and markets it is tried with.

    Raises:
        PluginError: unknown or broken.
    """
    factory = factory_of(kind, name, options)
    if registry.kind_of(kind) == "data_source":
        return checks_of_data_source(factory, requests, seed=seed)
    return CONTRACTS[registry.kind_of(kind)](factory, seed=seed)


def factory_of(kind: str, name: str, options: Mapping[str, Any] | None = None) -> Any:
    """What builds the plug-in from what mtf hands in; of a loss, the function itself.

    Raises:
        PluginError: as ``checks_of``.
    """
    return partial(registry.load(kind, name), **(options or {}))


__all__ = ["DEFAULT_REQUESTS", "checks_of", "factory_of"]
