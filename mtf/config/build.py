"""From a name and options to the object: ``{name: dsc}`` → ``DSC(…)``."""

from __future__ import annotations

import functools
from typing import Any

from mtf.config.plugin_spec import PluginSpec
from mtf.errors import ConfigError, MtfError
from mtf.plugins import registry


def build(kind: str, spec: PluginSpec, *context: Any) -> Any:
    """Build a plug-in.

    Args:
        kind: such as ``encoder``.
        spec: name and options from the config.
        context: what mtf hands in: the constructor's parameters before the ``*``.

    Returns:
        The object; of a loss, the function with its options bound.

    Raises:
        PluginError: unknown, broken, or not of its kind; a stranger's constructor that raises.
        ConfigError: the constructor refuses the options.
    """
    plugin = registry.load(kind, spec.name)
    if not isinstance(plugin, type):
        return functools.partial(plugin, *context, **spec.options)
    try:
        return plugin(*context, **spec.options)
    except MtfError:
        raise
    except ValueError as error:  # how a constructor without mtf's errors refuses a value
        raise ConfigError(
            f"{kind} {spec.name!r} refuses its options: {error}",
            f"options that {registry.find(kind, spec.name).place} accepts",
            f"see `mtf describe {kind} {spec.name}`",
        ) from error
    except Exception as error:  # a stranger's constructor may raise anything
        entry = registry.find(kind, spec.name)
        if not entry.foreign:
            raise
        expected = f"a constructor that takes {len(context)} arguments before the `*`"
        raise entry.broken("could not be built", error, expected) from error
