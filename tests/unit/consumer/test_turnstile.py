"""Only one thread is inside, and the same one may enter again where that is asked for."""

import threading

import pytest

from kafkaboot.consumer.turnstile import Turnstile


@pytest.mark.parametrize("reentrant", [False, True])
def test_whoever_comes_second_waits_until_the_first_has_left(reentrant):
    turnstile, inside, seen = Turnstile(reentrant=reentrant), [], []

    def work():
        for _ in range(2000):
            with turnstile:
                inside.append(1)
                seen.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(seen) == 8000
    assert set(seen) == {1}


def test_who_is_inside_may_enter_once_more_and_others_wait_for_both_ends():
    turnstile, entered = Turnstile(reentrant=True), threading.Event()

    def other():
        with turnstile:
            entered.set()

    thread = threading.Thread(target=other, daemon=True)
    with turnstile:
        with turnstile:
            thread.start()
        assert not entered.wait(0.05), "one of the two is still open"
    assert entered.wait(60)
