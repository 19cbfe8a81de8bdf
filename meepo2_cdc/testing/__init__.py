"""
For the tests of connectors, ours and anybody's: the contract that every sink keeps, records to feed it with, and
in-memory doubles of what stands around it.

    from meepo2_cdc.testing import MirrorContract, MirrorTarget

    class TestMySink(MirrorContract):
        @pytest.fixture
        def target(self) -> MirrorTarget: ...

Needs pytest; nothing else of the program imports this.
"""

from meepo2_cdc.testing.contract import MirrorContract, MirrorTarget, TellingContract, TellingTarget
from meepo2_cdc.testing.messages import InMemoryFeed, InMemoryMessage, SetAsideRecords
from meepo2_cdc.testing.records import Changes
from meepo2_cdc.testing.rows import InMemoryRows

__all__ = [
    "Changes",
    "InMemoryFeed",
    "InMemoryMessage",
    "InMemoryRows",
    "MirrorContract",
    "MirrorTarget",
    "SetAsideRecords",
    "TellingContract",
    "TellingTarget",
]
