"""`kafkaboot dlq`, as people type it, on letters in memory."""

from __future__ import annotations

import json
import struct
import time

import pytest

from kafkaboot.client.memory import MemoryClients

LETTERS = "orders.shop.dlt"


class Letters:
    def __init__(self):
        self.clients = MemoryClients()
        self.kafka = self.clients.kafka
        self.kafka.create("orders", 2)
        self.kafka.create(LETTERS, 1)

    def write(self, value=b'{"order_id": "o-1"}', exception="shop.CardRefused", cause="c4rd", topic="orders", more=()):
        now = int(time.time() * 1000)
        headers = [
            ("source", b"desk"),
            *([("kb-original-topic", topic.encode())] if topic else []),
            ("kb-original-partition", b"1"),
            ("kb-original-offset", b"42"),
            ("kb-group", b"shop"),
            ("kb-handler", b"bill"),
            ("kb-attempts", b"5"),
            ("kb-exception", exception.encode()),
            ("kb-message", b"card \x1b[31mrefused"),
            ("kb-traceback", b"Traceback:\n  File shop.py, line 3"),
            ("kb-fingerprint", cause.encode()),
            *more,
        ]
        return self.kafka.append(LETTERS, value, b"o-1", headers, 0, now)


@pytest.fixture
def letters(monkeypatch, shop):
    made = Letters()
    shop()
    monkeypatch.setattr("kafkaboot.cli.connection.clients_of", lambda *_: made.clients)
    return made


@pytest.fixture
def dlq(call, letters):
    def run(*args, code=0, **kwargs):
        result = call("dlq", *args, **kwargs)
        assert result.exit_code == code, result.output
        return result.output

    return run


# --- list


def test_letters_are_listed_by_cause_with_states_and_the_next_step(dlq, letters):
    for _ in range(3):
        letters.write()
    letters.write(exception="builtins.ValueError", cause="va1ue")
    output = dlq("list", LETTERS)
    assert "shop.CardRefused" in output
    assert "3 new" in output
    assert "4 new, the oldest" in output
    assert f"Next: kafkaboot dlq show {LETTERS} 0@2" in output
    assert "\x1b[31m" not in output, "what a letter says cannot write to the terminal"
    assert "all 4 letters were read; `kafkaboot dlq index" in output
    assert "4 letters read, 1 rows of the index written" in dlq("index", LETTERS)
    assert "were read" not in dlq("list", LETTERS)


def test_the_list_as_json_holds_all_figures(dlq, letters):
    letters.write()
    dlq("resolve", LETTERS, "--all", "--yes")
    letters.write()
    found = json.loads(dlq("list", LETTERS, "--json"))
    assert (found["letters"], found["states"], found["indexed"]) == (2, {"new": 1, "resolved": 1}, True)
    (cause,) = found["causes"]
    assert (cause["fingerprint"], cause["handler"], cause["sources"]) == ("c4rd", "bill", {"orders": 2})
    assert sum(cause["hours"].values()) == 2


def test_an_empty_topic_says_that_there_is_nothing_to_do(dlq):
    assert "nothing to do" in dlq("list", LETTERS)
    assert "the topic holds no letters" in dlq("replay", LETTERS, "--all")


def test_filters_of_a_list_that_fit_nothing_say_so(dlq, letters):
    letters.write()
    assert "none of the 1 letters is of that kind" in dlq("list", LETTERS, "--state", "parked")
    assert "none of the 1 letters is of that kind" in dlq("list", LETTERS, "--exception", "Other")
    assert "c4rd" in dlq("list", LETTERS, "--exception", "CardRefused", "--handler", "bill", "--state", "new")


def test_without_a_topic_the_topics_of_letters_are_listed(dlq, letters):
    letters.write()
    assert LETTERS in dlq("list")
    assert json.loads(dlq("list", "--json")) == [{"topic": LETTERS, "offsets": 1}]


def test_a_topic_that_is_not_there_is_told_with_near_names(dlq):
    output = dlq("list", "orders.shop.dlq", code=1)
    assert f"did you mean {LETTERS}?" in output
    assert "Traceback" not in output


# --- show


def test_a_letter_is_shown_with_its_reason_its_origin_and_its_value_by_the_handlers_type(dlq, letters):
    letters.write()
    output = dlq("show", LETTERS, "0@0")
    for text in ("shop.CardRefused", "orders[1]@42", "File shop.py, line 3", "source: desk", "order.placed", "o-1"):
        assert text in output
    assert f"kafkaboot dlq edit {LETTERS} 0@0" in output
    assert f"kafkaboot probe bill '{LETTERS}[0]@0'" in output
    assert dlq("show", f"{LETTERS}[0]@0") == output


def test_a_value_that_its_type_does_not_take_is_shown_with_the_reason(dlq, letters):
    letters.write(b'{"order": 1}')
    assert "does not fit OrderPlaced" in dlq("show", LETTERS, "0@0")
    letters.write(b"\xff\xfe")
    assert "ff fe" in dlq("show", LETTERS, "0@1")


def test_a_letter_as_json(dlq, letters):
    letters.write()
    found = json.loads(dlq("show", LETTERS, "0@0", "--json"))
    assert (found["letter"], found["state"], found["attempts"]) == (f"{LETTERS}[0]@0", "new", 5)
    assert found["original"] == {"topic": "orders", "partition": 1, "offset": 42, "timestamp": None}
    assert (found["value"], found["type"]) == ({"order_id": "o-1"}, "order.placed")


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ((LETTERS,), 2, "Name a letter"),
        ((LETTERS, "nowhere"), 2, "no PARTITION@OFFSET"),
        ((LETTERS, "other[0]@1"), 2, "of another topic"),
        ((LETTERS, "0@9"), 1, "the partition is empty"),
    ],
)
def test_a_letter_that_is_not_there_or_not_named_is_an_error_with_what_to_do(dlq, args, code, said):
    assert said in dlq("show", *args, code=code)


def test_doubts_are_shown(dlq, letters):
    letters.write(more=[("kb-redrives", b"lots")])
    assert "doubtful: header kb-redrives cannot be read" in dlq("show", LETTERS, "0@0")


# --- replay


def test_a_dry_run_shows_causes_and_targets_and_touches_nothing(dlq, letters):
    for _ in range(3):
        letters.write()
    letters.write(topic=None)
    output = dlq("replay", LETTERS, "--exception", "CardRefused", "--dry-run")
    assert "dry run: 3 of 4 letters; nothing was touched" in output
    assert "left as they are: names no source topic" in output
    assert f"to do it: kafkaboot dlq replay {LETTERS} --exception CardRefused" in output
    assert "nobody is in group shop now" in output
    assert letters.kafka.records("orders") == []
    assert f"{LETTERS}.index" not in letters.kafka.topics
    found = json.loads(dlq("replay", LETTERS, "--all", "--dry-run", "--json"))
    assert (found["selected"], found["going"], found["groups_without_members"]) == (4, 3, ["shop"])


def test_the_question_names_the_exact_count_and_no_is_no(dlq, letters):
    letters.write()
    letters.write()
    output = dlq("replay", LETTERS, "--all", input="n\n", code=1)
    assert "Send again 2 letters (nobody is in group shop)? [y/N]" in output
    assert letters.kafka.records("orders") == []


def test_letters_are_sent_and_not_twice(dlq, letters):
    letters.write()
    assert "finished: 1 retried" in dlq("replay", LETTERS, "--all", input="y\n")
    assert len(letters.kafka.records("orders")) == 1
    output = dlq("replay", LETTERS, "--all", "--yes")
    assert "no letter that is meant is new; there are 1 retried (add --state retried for those)" in output
    assert len(letters.kafka.records("orders")) == 1
    output = dlq("replay", LETTERS, "--state", "retried", "--yes", "--json")
    found = json.loads(output[output.index("{") :])
    assert (found["state"], found["counts"]) == ("finished", {"retried": 1})
    assert len(letters.kafka.records("orders")) == 2
    found = json.loads(dlq("replay", LETTERS, "--all", "--yes", "--json"))
    assert (found["job"], found["going"]) == (None, 0)


def test_a_redrive_of_letters_with_no_way_back_says_what_is_wanted(dlq, letters):
    letters.write(topic=None)
    assert "all of them are left as they are" in dlq("replay", LETTERS, "--all", "--yes")
    assert "finished: 1 retried" in dlq("replay", LETTERS, "--all", "--to", "orders", "--yes")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "Say which letters"),
        (("--all", "--rate", "fast"), "no rate"),
        (("--all", "--since", "yesterday"), "--since 2h (two hours ago)"),
        (("--all", "--json"), "add --yes, or --dry-run"),
        (("--record", "17"), "no PARTITION@OFFSET"),
        (("--all", "--max-rounds", "0"), "1<=x<=1000"),
    ],
)
def test_bad_options_say_what_would_be_good_ones(dlq, letters, args, said):
    letters.write()
    assert said in dlq("replay", LETTERS, *args, code=2)


def test_an_interrupted_job_is_offered_and_goes_on(dlq, letters, monkeypatch):
    for _ in range(3):
        letters.write()
    with monkeypatch.context() as patch:
        patch.setattr("kafkaboot.failure.replay.work.Worker.run", lambda _: (_ for _ in ()).throw(MemoryError()))
        result = dlq("replay", LETTERS, "--all", "--job", "night", "--yes", code=1)
        assert "--job night" in result
    assert "running" in dlq("jobs", LETTERS)
    assert f"kafkaboot dlq replay {LETTERS} --job night" in dlq("jobs", LETTERS)
    output = dlq("replay", LETTERS, "--all", input="\n")
    assert "job night of" in output
    assert "Go on with it?" in output
    assert "job night finished: 3 retried" in output
    assert "has finished" in dlq("replay", LETTERS, "--job", "night", code=2)
    (job,) = json.loads(dlq("jobs", LETTERS, "--json"))
    assert (job["state"], job["done"]) == ("finished", {"retried": 3})


def test_a_name_that_means_another_job_is_refused(dlq, letters, monkeypatch):
    letters.write()
    with monkeypatch.context() as patch:
        patch.setattr("kafkaboot.failure.replay.work.Worker.run", lambda _: (_ for _ in ()).throw(MemoryError()))
        dlq("replay", LETTERS, "--all", "--job", "night", "--yes", code=1)
    assert "does something else" in dlq("replay", LETTERS, "--handler", "bill", "--job", "night", "--yes", code=2)
    assert "does something else" in dlq("park", LETTERS, "--job", "night", "--yes", code=2)


def test_a_letter_of_springs_is_listed_shown_and_replayed(dlq, letters):
    headers = [
        ("kafka_dlt-original-topic", b"orders"),
        ("kafka_dlt-original-partition", struct.pack(">i", 1)),
        ("kafka_dlt-original-offset", struct.pack(">q", 9)),
        ("kafka_dlt-original-consumer-group", b"billing"),
        ("kafka_dlt-exception-fqcn", b"java.lang.IllegalStateException"),
        ("kafka_dlt-exception-message", b"refused"),
        ("kafka_dlt-exception-stacktrace", b"java.lang.IllegalStateException: refused\n\tat shop.Bill"),
    ]
    letters.kafka.append(LETTERS, b'{"order_id": "s"}', b"s", headers, 0, 0)
    assert "java.lang.IllegalStateException" in dlq("list", LETTERS)
    assert "orders[1]@9" in dlq("show", LETTERS, "0@0")
    assert "finished: 1 retried" in dlq("replay", LETTERS, "--all", "--yes")
    (record,) = letters.kafka.records("orders")
    assert (record.partition(), record.key(), [name for name, _ in record.headers()]) == (
        1,
        b"s",
        ["kb-redrives", "kb-redriven-from"],
    )


# --- edit, purge, audit


def test_an_edit_is_checked_shown_as_a_diff_and_sent(dlq, letters, tmp_path):
    letters.write(b'{"order": "o-1"}')
    mended = tmp_path / "mended.json"
    mended.write_text('{"order_id": "o-1"}\n')
    output = dlq("edit", LETTERS, "0@0", "--value", str(mended), "--by", "ada", input="y\n")
    assert '-  "order": "o-1"' in output
    assert '+  "order_id": "o-1"' in output
    assert "sent: orders[1]@0" in output
    (record,) = letters.kafka.records("orders")
    assert (record.value(), dict(record.headers())["kb-edited-by"]) == (b'{"order_id": "o-1"}', b"ada")
    assert "edited by ada" in dlq("show", LETTERS, "0@0")
    assert "this letter is edited already" in dlq(
        "edit", LETTERS, "0@0", "--value", "-", "--yes", input='{"order_id": "o-2"}'
    )


def test_an_edit_that_the_type_does_not_take_is_refused(dlq, letters):
    letters.write()
    output = dlq("edit", LETTERS, "0@0", "--value", "-", "--yes", input='{"order_id": 7}', code=1)
    assert "order_id" in output
    assert "nothing was sent" in output
    assert letters.kafka.records("orders") == []


def test_an_editor_that_changes_nothing_sends_nothing(dlq, letters, monkeypatch):
    letters.write()
    monkeypatch.setattr("click.edit", lambda text, **_: text)
    assert "nothing was changed" in dlq("edit", LETTERS, "0@0")
    monkeypatch.setattr("click.edit", lambda text, **_: text.replace("o-1", "o-9"))
    assert "sent: orders[1]@0" in dlq("edit", LETTERS, "0@0", "--yes")
    assert letters.kafka.records("orders")[0].value() == b'{"order_id":"o-9"}'
    monkeypatch.setattr("click.edit", lambda text, **_: text + "}")
    assert "is not JSON" in dlq("edit", LETTERS, "0@0", "--yes", code=2)


def test_headers_are_set_and_taken_away(dlq, letters):
    letters.write()
    output = dlq(
        "edit", LETTERS, "0@0", "--header", "tenant=north", "--without", "source", "--without", "none", "--yes"
    )
    assert "+header tenant: north" in output
    assert "-header source: desk" in output
    assert "none" not in output
    (record,) = letters.kafka.records("orders")
    assert record.value() == b'{"order_id": "o-1"}'
    assert [name for name, _ in record.headers()] == ["tenant", "kb-redrives", "kb-redriven-from", "kb-edited-by"]
    assert "nothing was changed" in dlq("edit", LETTERS, "0@0", "--header", "source=desk", "--yes")


def test_an_edit_from_standard_input_cannot_ask(dlq, letters):
    letters.write()
    assert "add --yes" in dlq("edit", LETTERS, "0@0", "--value", "-", input="{}", code=2)
    assert "cannot read" in dlq("edit", LETTERS, "0@0", "--value", "nowhere.json", code=2)


def test_a_purge_deletes_what_is_done_and_says_what_kafka_cannot(dlq, letters):
    letters.write(cause="done")
    letters.write(cause="open")
    letters.write(cause="done")
    dlq("park", LETTERS, "--fingerprint", "done", "--yes")
    output = dlq("purge", LETTERS, "--dry-run")
    assert "1 letters can be deleted: 1 parked" in output
    assert "1 more are meant to go and stay: Kafka deletes beginnings only" in output
    assert f"kafkaboot dlq resolve {LETTERS} --record 0@1" in output
    assert "Delete 1 letters for good?" in dlq("purge", LETTERS, input="y\n")
    assert len(letters.kafka.records(LETTERS)) == 2
    assert "1 of them new" in dlq("purge", LETTERS, "--state", "any", input="n\n", code=1)
    found = json.loads(dlq("purge", LETTERS, "--state", "any", "--yes", "--json"))
    assert found["deleted"] == 2
    assert "nothing to delete" in dlq("purge", LETTERS)


def test_the_audit_names_who_did_what(dlq, letters):
    assert "nobody has done anything" in dlq("audit", LETTERS)
    assert "there are no jobs" in dlq("jobs", LETTERS)
    letters.write()
    dlq("resolve", LETTERS, "--all", "--by", "ada", "--yes")
    output = dlq("audit", LETTERS)
    assert "resolve began" in output
    assert "1 of 1 letters" in output
    assert "resolve finished" in output
    assert [one["by"] for one in json.loads(dlq("audit", LETTERS, "--json"))] == ["ada", "ada"]
