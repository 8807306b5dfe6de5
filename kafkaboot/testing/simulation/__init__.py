"""The real engine on a Kafka in memory, stepped by hand on virtual time, and a judge of what its handlers did.

Several processes take part, each with its own event loop; none has a thread, and nothing waits in real time. What
happens is decided by the calls alone, so that a run can be had again.
"""

from kafkaboot.testing.simulation.ledger import Ledger, Place
from kafkaboot.testing.simulation.process import Process
from kafkaboot.testing.simulation.world import Plan, World

__all__ = ["Ledger", "Place", "Plan", "Process", "World"]
