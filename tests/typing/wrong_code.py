"""Every statement here is a mistake that mypy must find: the control of `user_code.py`."""

from kafkaboot import event, event_handler, on_dead_letter, on_start, publisher

event_handler("orders", ordering="keys")
event_handler("orders", circuit=7)
event_handler("orders", retry=True)
event_handler("orders", start="now")
event_handler("orders", inbox=7)
event_handler("orders", inbox_key=7)
event_handler("orders", reply="yes")
publisher(7)
publisher("copies", producer=7)
event("e")(len)
on_start(7)
on_dead_letter(7)


@event_handler("orders")
def bill(order: dict[str, str]) -> int:
    return len(order)


bill(7)
bill({}).upper()
