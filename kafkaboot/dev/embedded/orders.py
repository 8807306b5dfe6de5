"""What the process that started the broker can order: topics, and faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafkaboot.dev.embedded.faults import Fault, UnknownFaultError

if TYPE_CHECKING:
    from kafkaboot.dev.embedded.server import Server


def obey(server: Server, order: dict[str, Any]) -> dict[str, Any]:
    """Do what one line says and answer its result, or `{"error": text}`.

    - `{"create": name, "partitions": n}` makes a topic unless it is there.
    - `{"fault": {...}}` orders a fault, with the fields of `Fault`.
    - `{"faults": "clear"}` forgets the faults; `{"faults": "left"}` tells how many have not run out.
    """
    if "create" in order:
        name = order["create"]
        if server.node.topics.get(name) is None:
            objection = server.node.topics.objection(name)
            if objection is not None:
                return {"error": objection}
            server.node.topics.create(name, order["partitions"])
        return {}
    if "fault" in order:
        try:
            server.faults.order(Fault(**order["fault"]), {api.name for api in server.apis.values()})
        except UnknownFaultError as error:
            return {"error": str(error)}
        return {}
    if order.get("faults") == "clear":
        server.faults.clear()
        return {}
    if order.get("faults") == "left":
        return {"left": len(server.faults)}
    return {"error": f"there is no such order: {', '.join(order)}"}
