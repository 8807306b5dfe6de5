"""What a user of kafkaboot writes. It is checked by mypy, never run."""

from collections.abc import Callable, Coroutine, Sequence
from decimal import Decimal
from typing import Annotated, Any, assert_type

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from kafkaboot import (
    BatchFailed,
    Context,
    Delivery,
    Header,
    KafkabootError,
    Key,
    Letter,
    Named,
    Outbox,
    Payload,
    Producer,
    Receipt,
    Record,
    RequestFailedError,
    RequestTimeoutError,
    RetryPolicy,
    Secret,
    Transaction,
    __version__,
    component,
    event,
    event_handler,
    on_dead_letter,
    on_start,
    on_stop,
    publisher,
    settings,
)


@event("order.placed", version=2)
class OrderPlaced(BaseModel):
    order_id: str
    total: Decimal


@settings("shop")
class ShopSettings(BaseModel):
    rate: Decimal = Decimal("0.2")
    password: Secret | None = None


@component
class Tax:
    def __init__(self, settings: ShopSettings) -> None:
        self.rate = settings.rate

    @on_start
    async def connect(self) -> None: ...

    @on_stop
    def close(self) -> None: ...

    @publisher("audits")
    async def audit(self, order: OrderPlaced) -> dict[str, str]:
        return {"order_id": order.order_id}


@component(name="slow", primary=True)
class SlowTax(Tax): ...


@component
def make_policy(settings: ShopSettings) -> RetryPolicy:
    return RetryPolicy(initial=float(settings.rate))


@publisher("invoices", key="order_id", headers={"origin": "shop"})
@event_handler("orders", ordering="key", retry=RetryPolicy(initial=1), filter=lambda record: record.key is not None)
@publisher("copies", key=lambda order: order.order_id, partition=0)
async def bill(
    order: Annotated[OrderPlaced, Payload()],
    tax: Annotated[Tax, Named("slow")],
    record: Record,
    tenant: Annotated[str, Header("tenant")],
    key: Annotated[str | None, Key()],
    context: Context,
    producer: Producer,
) -> OrderPlaced:
    context.logger.info("%s %s %s %s", record.offset, tenant, key, tax.rate)
    return order


@event_handler(pattern="^orders[.].*", batch=100, timeout="5s", retry=False, start="latest")
def bill_all(orders: list[OrderPlaced]) -> int:
    if not orders:
        raise BatchFailed(0, KafkabootError("empty"))
    return len(orders)


takes_the_function: Callable[[list[OrderPlaced]], int] = bill_all
awaits_the_function: Callable[..., Coroutine[Any, Any, OrderPlaced]] = bill
assert_type(bill_all([]), int)
assert_type(OrderPlaced(order_id="o-1", total=Decimal(1)), OrderPlaced)
assert_type(Tax(ShopSettings()), Tax)
assert_type(make_policy(ShopSettings()), RetryPolicy)


async def use(tax: Tax, order: OrderPlaced, record: Record, context: Context, producer: Producer) -> None:
    assert_type(await tax.audit(order), dict[str, str])
    assert_type(await bill(order, tax, record, "tenant", None, context, producer), OrderPlaced)


assert_type(__version__, str)


@on_dead_letter
async def page(letter: Letter) -> None:
    assert_type(letter.original.topic, str | None)
    assert_type(letter.headers, list[tuple[str, bytes | None]])


paging: Callable[[Letter], Coroutine[Any, Any, None]] = page


async def transact(producer: Producer, order: OrderPlaced) -> None:
    async with producer.transaction() as tx:
        assert_type(tx, Transaction)
        assert_type(await tx.publish("orders", order, key="o-1"), Receipt)
        assert_type(tx.send("audit", order), Delivery)
    assert_type(await producer.publish_batch("orders", [order], transactional=True), Sequence[Receipt])


@event_handler("orders", inbox=True, inbox_key="ce_id")
async def sell(order: OrderPlaced, session: AsyncSession, outbox: Outbox) -> None:
    assert_type(outbox.add(session, "invoices", order, key=order.order_id, headers={"origin": "shop"}), str)


@event_handler("returns", inbox="main", inbox_key=lambda record: record.key)
def take_back(order: OrderPlaced, session: Session, outbox: Outbox) -> None:
    outbox.add(session, "invoices", order, type="invoice.cancelled")


async def by_hand(connection: AsyncConnection, order: OrderPlaced, outbox: Outbox) -> None:
    assert_type(await outbox.add_async(connection, "invoices", order), str)


@event_handler("prices", reply=True)
@publisher("quotes", producer="audit")
async def quote(order: OrderPlaced, audit: Annotated[Producer, Named("audit")]) -> OrderPlaced:
    return order


async def ask(producer: Producer, order: OrderPlaced) -> None:
    assert_type(await producer.request("prices", order, reply_type=OrderPlaced, timeout=2), OrderPlaced)
    assert_type(producer.sync.request("prices", order, key="o-1", reply_type=Record), Record)
    assert_type(await producer.request("prices", order, headers={"origin": "shop"}), Any)
    try:
        await producer.request("prices", order)
    except RequestTimeoutError as error:
        assert_type(error.request_id, str)
        overdue: TimeoutError = error
        raise overdue from None
    except RequestFailedError as error:
        assert_type((error.kind, error.text, error.traceback), tuple[str, str, str])
