"""Contract tests for plug-ins, for strangers too: is mine sound?

Each check builds the plug-in, tries what its contract promises and raises ``ContractError`` that
names the plug-in and the defect. In a test of your own::

    from mtf.testing import check_encoder

    def test_my_encoder():
        check_encoder(MyEncoder)

``mtf check KIND NAME`` runs the same promises one by one (``checks_of_encoder`` and so on) and
lists all defects. Two gates are for functions that are no plug-ins: ``check_in_time`` for whatever
joins or transforms candles, ``check_split`` for splits.
"""

from __future__ import annotations

from mtf.testing.backtests import check_backtest, checks_of_backtest
from mtf.testing.contract import Check, Outcome, outcomes, require
from mtf.testing.encoders import check_encoder, checks_of_encoder
from mtf.testing.features import check_feature_set, checks_of_feature_set
from mtf.testing.fusions import check_fusion, checks_of_fusion
from mtf.testing.heads import check_head, checks_of_head
from mtf.testing.in_time import check_in_time
from mtf.testing.losses import check_loss, checks_of_loss
from mtf.testing.policies import check_policy, checks_of_policy
from mtf.testing.registered import checks_of
from mtf.testing.side_inputs import check_side_input, checks_of_side_input
from mtf.testing.sources import check_data_source, checks_of_data_source
from mtf.testing.splits import check_split

__all__ = [
    "Check",
    "Outcome",
    "check_backtest",
    "check_data_source",
    "check_encoder",
    "check_feature_set",
    "check_fusion",
    "check_head",
    "check_in_time",
    "check_loss",
    "check_policy",
    "check_side_input",
    "check_split",
    "checks_of",
    "checks_of_backtest",
    "checks_of_data_source",
    "checks_of_encoder",
    "checks_of_feature_set",
    "checks_of_fusion",
    "checks_of_head",
    "checks_of_loss",
    "checks_of_policy",
    "checks_of_side_input",
    "outcomes",
    "require",
]
