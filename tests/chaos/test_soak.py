"""F21: whatever comes, for as long as `KB_SOAK` says (seconds)."""

import os
import random
import time

import pytest

from kafkaboot.dev.local import LocalKafka
from kafkaboot.testing import eventually, history

SECONDS = float(os.environ.get("KB_SOAK", "0"))

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.real_kafka,
    pytest.mark.skipif(not SECONDS, reason="a soak takes as many seconds as KB_SOAK says"),
    pytest.mark.timeout(SECONDS * 2 + 300),
]


def kill(run, broker):
    run.chaos.kill(run.chaos.pick())
    run.chaos.start()


def stop(run, broker):
    assert run.chaos.terminate(run.chaos.pick()) == 0
    run.chaos.start()


def join_and_leave(run, broker):
    (guest,) = run.chaos.start()
    run.chaos.until_handling([guest], 1)
    assert run.chaos.terminate(guest) == 0


def freeze_shorter_than_the_session(run, broker):
    worker = run.chaos.pick()
    run.chaos.pause(worker)
    until = time.monotonic() + run.chaos.random.uniform(0.1, 1.5)
    eventually(lambda: time.monotonic() > until, 5)
    run.chaos.resume(worker)


def restart_the_broker(run, broker):
    run.chaos.history.write(history.BROKER_DOWN)
    broker.restart(clean=run.chaos.random.random() < 0.5)
    run.chaos.history.write(history.BROKER_UP)


@pytest.mark.parametrize("ordering", ["partition", "key"])
def test_random_faults_for_a_long_time(chaos_run, ordering):
    seed = int(os.environ.get("KB_SEED", str(random.randrange(10**6))))
    with LocalKafka() as broker, chaos_run(seed=seed, bootstrap=broker.bootstrap_servers) as run:
        chaos = run.application("note", ordering, session_timeout="4s")
        chaos.until_handling(chaos.start(3), 0)
        run.load.start(400, fails=0.002)
        steps = [kill] * 4 + [stop, join_and_leave, freeze_shorter_than_the_session] * 2 + [restart_the_broker]
        until, count = time.monotonic() + SECONDS / 2, 0
        while time.monotonic() < until:
            chaos.until_handling(chaos.alive, 20, deadline=60)
            step = chaos.random.choice(steps)
            print(f"{time.monotonic() - until + SECONDS / 2:8.1f} s  {step.__name__}")
            step(run, broker)
            count += 1
        run.settle(deadline=60)
        assert set(chaos.terminate_all()) == {0}
        run.judge(ordering=ordering, fencing=4).demand(records=int(SECONDS * 100), faults=count // 2)
