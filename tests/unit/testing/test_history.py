import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from kafkaboot.errors import KafkabootError
from kafkaboot.testing.history import Event, History, Tail, read


def test_what_is_written_is_read_in_the_order_of_time(tmp_path):
    one, other = History(tmp_path), History(tmp_path)
    one.write("started", "t", 1, 2, "id-1", "k", 3)
    other.write("killed", about=99, detail='with "quotes"\nand a line')
    one.write("ended", "t", 1, 2, "id-1", "k", 3)
    found = read(tmp_path)
    assert [event.event for event in found] == ["started", "killed", "ended"]
    assert (found[0].topic, found[0].partition, found[0].offset, found[0].seq) == ("t", 1, 2, 3)
    assert (found[1].about, found[1].detail) == (99, 'with "quotes"\nand a line')
    assert all(event.process == os.getpid() for event in found)
    assert abs(found[0].wall - time.time_ns()) < 60e9


def test_every_line_that_was_written_survives_a_sigkill(tmp_path):
    program = textwrap.dedent("""
        import sys
        from kafkaboot.testing.history import History
        history = History(sys.argv[1])
        number = 0
        while True:
            history.write("ended", "t", 0, number)
            number += 1
            if number % 100 == 0:
                print(number, flush=True)
    """)
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    with process:
        announced = [int(process.stdout.readline()) for _ in range(20)][-1]
        process.send_signal(signal.SIGKILL)
    offsets = [event.offset for event in read(tmp_path)]
    assert offsets == list(range(len(offsets)))
    assert len(offsets) >= announced


def test_threads_do_not_tear_each_others_lines(tmp_path):
    history = History(tmp_path)
    threads = [
        threading.Thread(target=lambda n=n: [history.write("ended", "t", n, i, "x" * 300) for i in range(500)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(e.partition, e.offset) for e in read(tmp_path)} == {(n, i) for n in range(4) for i in range(500)}


def _child(history):
    history.write("started")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_writes_a_file_of_its_own(tmp_path):
    history = History(tmp_path)
    history.write("ended")
    child = multiprocessing.get_context("fork").Process(target=_child, args=(history,))
    child.start()
    child.join(30)
    assert {event.process for event in read(tmp_path)} == {os.getpid(), child.pid}
    assert len(list(tmp_path.glob("*.jsonl"))) == 2


def test_a_line_without_its_end_waits_and_is_not_lost(tmp_path):
    file = tmp_path / "7.jsonl"
    file.write_bytes(b'{"event":"a","process":7,"at":1,"wall":1}\n{"event":"b","proc')
    tail = Tail(tmp_path)
    assert [event.event for event in tail.fresh()] == ["a"]
    assert tail.fresh() == []
    with file.open("ab") as more:
        more.write(b'ess":7,"at":2,"wall":1}\n')
    assert tail.fresh() == [Event("b", 7, 2, 1)]


def test_a_whole_line_that_is_no_event_is_an_error_with_its_file(tmp_path):
    (tmp_path / "7.jsonl").write_bytes(b'{"event":"a"}\n')
    with pytest.raises(KafkabootError, match=r"7\.jsonl: a line of a history is no event"):
        read(tmp_path)


def test_a_line_costs_microseconds(tmp_path):
    history = History(tmp_path)
    best = float("inf")
    for _ in range(20):
        begin = time.perf_counter()
        for number in range(200):
            history.write("ended", "orders", 3, number, "id", "key", number)
        best = min(best, (time.perf_counter() - begin) / 200)
    assert best < 50e-6
