"""Each order is sent on, exactly once; a reader of committed records takes its age."""

from benchmarks.apps.counting import watch
from benchmarks.committed import watched
from benchmarks.orders import Order
from kafkaboot import component, event, event_handler, on_start, publisher


@event("order.billed")
class OrderBilled(Order):
    pass


@component
class Reader:
    @on_start
    def begin(self) -> None:
        watched(watch)


@event_handler("${BENCH_TOPIC}", transactional=True)
@publisher("${BENCH_OUT}", key="buyer")
async def bill(order: Order) -> OrderBilled:
    return OrderBilled.model_construct(**order.__dict__)
