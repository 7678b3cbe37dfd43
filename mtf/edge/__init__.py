"""A trained model without its training stack: numpy, onnxruntime and the standard library.

``mtf export RUN`` writes a model and a copy of this package beside it, under the name mtf_runner:

    runner = Runner("export")
    runner.update("1m", (open_time_ms, open, high, low, close, volume))
    decision = runner.decide(t_ms)
    decision.action, decision.columns["action.prob_buy"], decision.target.weight
"""

from mtf.edge.errors import RunnerError
from mtf.edge.runner import Decision, Runner

__all__ = ["Decision", "Runner", "RunnerError"]
