"""Multi-timeframe models of crypto candles: train one, learn whether it is real, run it.

``mtf.fit(config)`` trains and evaluates, ``mtf.load(path)`` opens a run; both return a ``Run``.
``mtf.register(kind, name)`` enters a plug-in of your own. Nothing heavy is imported until used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtf.plugins.registry import register
    from mtf.run import Run, fit, load

__all__ = ["Run", "__version__", "fit", "load", "register"]

_HOMES = {"Run": "mtf.run", "fit": "mtf.run", "load": "mtf.run", "register": "mtf.plugins.registry"}


def __getattr__(name: str) -> Any:
    """Import what is asked for at first use (PEP 562): ``import mtf`` stays fast."""
    if name == "__version__":
        from importlib.metadata import version

        return version("mtf")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'mtf' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Also what is not imported yet."""
    return sorted({*globals(), *__all__})
