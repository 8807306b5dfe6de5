"""What every adapter of `client/ports` must do, as tests that are the same for all of them.

A test module says `class TestMine(ClientContract)` and gives it a fixture `cluster` that makes a `Cluster`.
"""

from kafkaboot.testing.contract.cluster import Cluster, Seat
from kafkaboot.testing.contract.committing import Committing
from kafkaboot.testing.contract.looking import Looking
from kafkaboot.testing.contract.membership import Membership
from kafkaboot.testing.contract.publishing import Publishing
from kafkaboot.testing.contract.reading import Reading
from kafkaboot.testing.contract.shaping import Shaping
from kafkaboot.testing.contract.transacting import Transacting

__all__ = ["ClientContract", "Cluster", "Seat"]


class ClientContract(Publishing, Reading, Looking, Committing, Membership, Transacting, Shaping):
    """All of it."""
