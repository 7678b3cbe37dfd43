"""Contract tests for plug-ins, for strangers too: is mine sound?

Each check builds the plug-in, tries what its contract promises and raises ``ContractError`` that
names the plug-in and the defect. In a test of your own::

    from mtf.testing import check_encoder

    def test_my_encoder():
        check_encoder(MyEncoder)
"""

from __future__ import annotations

from mtf.testing.encoders import check_encoder
from mtf.testing.features import check_feature_set
from mtf.testing.fusions import check_fusion
from mtf.testing.heads import check_head
from mtf.testing.sources import check_data_source

__all__ = [
    "check_data_source",
    "check_encoder",
    "check_feature_set",
    "check_fusion",
    "check_head",
]
