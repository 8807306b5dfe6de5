"""Which lane is next."""

from kafkaboot.client import TP
from kafkaboot.consumer.offsets import Assignment
from kafkaboot.consumer.ready import waiting_lanes


def lanes_of(raw, route, *records):
    from kafkaboot.consumer.lanes import Lanes

    assignment = Assignment(TP("orders", 0), 1, in_order=False)
    lanes = Lanes(route, assignment)
    chunk, todo = assignment.take([raw(i, b"", key) for i, key in enumerate(records)])
    return lanes, lanes.add(chunk, todo)


def keys_served(lanes, ready, waiting):
    """One worker serves piece after piece; answers the offsets in their order."""
    served = []
    waiting.extend(ready)
    while waiting:
        lane = waiting.popleft()
        served.append(lane.pieces[0][1][0])
        more = lanes.proceed(lane)
        if more:
            waiting.append(lane)
    return served


def test_by_key_the_oldest_record_is_next_so_that_nothing_is_settled_far_ahead_of_it(raw, route_of, handler_of):
    route = route_of(handler_of("async"), ordering="key")
    lanes, ready = lanes_of(raw, route, b"a", b"a", b"a", b"b", b"a", b"c")
    assert keys_served(lanes, ready, waiting_lanes("key")) == [0, 1, 2, 3, 4, 5]


def test_in_turn_it_would_be(raw, route_of, handler_of):
    """The control: the queue of partitions, used for keys."""
    route = route_of(handler_of("async"), ordering="key")
    lanes, ready = lanes_of(raw, route, b"a", b"a", b"a", b"b", b"a", b"c")
    assert keys_served(lanes, ready, waiting_lanes("partition")) == [0, 3, 5, 1, 2, 4]
