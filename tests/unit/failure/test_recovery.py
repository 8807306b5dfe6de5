"""Which way a failed record goes."""

import time

import pytest

from kafkaboot.consumer import Again, Away, Backoff, Failed, Halt, Settled
from kafkaboot.errors import (
    BatchFailed,
    CircuitOpenError,
    DeadLetter,
    DeclarationError,
    ProcessDiedError,
    Retry,
    Skip,
    UndecodableError,
)
from kafkaboot.failure import Meanings, Recovery, exception_named


class CardRefused(Exception):
    pass


class StolenCard(CardRefused):
    pass


class Elsewhere:
    def __init__(self, why, ways=10**9):
        self.why, self.ways = why, ways

    def away(self, failed):
        self.ways -= 1
        return Away(lambda settled, wanted: None, self.why, "") if self.ways >= 0 else None


def recovery(**options):
    options = {
        "meanings": Meanings(),
        "backoff": Backoff(0.2, jitter=False),
        "attempts": 3,
        "dead_letters": Elsewhere("dead_lettered"),
    } | options
    return Recovery(**options)


def failed(error, attempt=1, since=None):
    return Failed(None, error, attempt, time.time() if since is None else since)


def why(verdict):
    return verdict.why if isinstance(verdict, Away | Settled) else verdict


def test_what_is_retriable_is_tried_again_with_growing_delays_until_its_attempts_are_used_up():
    one = recovery()
    assert one.judge(failed(OSError(), 1)) == Again(0.2)
    assert one.judge(failed(OSError(), 2)) == Again(0.4)
    assert why(one.judge(failed(OSError(), 3))) == "dead_lettered"


def test_no_attempt_begins_after_the_time_limit():
    one = recovery(attempts=100, time_limit=10.0)
    assert isinstance(one.judge(failed(OSError(), 1, time.time() - 9)), Again)
    assert why(one.judge(failed(OSError(), 1, time.time() - 9.9))) == "dead_lettered"
    assert why(one.judge(failed(OSError(), 1, time.time() - 11))) == "dead_lettered"


def test_what_is_fatal_is_given_up_at_its_first_attempt():
    assert why(recovery().judge(failed(UndecodableError("no JSON")))) == "dead_lettered"
    assert why(recovery(later=Elsewhere("retried_later")).judge(failed(UndecodableError("no")))) == "dead_lettered"


def test_the_attempts_in_the_lane_come_first_then_the_retry_topics_then_the_dead_letters():
    one = recovery(attempts=2, later=Elsewhere("retried_later", ways=2))
    ways = [why(one.judge(failed(OSError(), attempt))) for attempt in (1, 2, 2, 2)]
    assert ways == [Again(0.2), "retried_later", "retried_later", "dead_lettered"]


@pytest.mark.parametrize(("exhausted", "verdict"), [("skip", Settled("skipped")), ("stop", Halt())])
def test_what_becomes_of_a_record_in_the_end_is_the_handler_s_choice(exhausted, verdict):
    assert recovery(attempts=1, exhausted=exhausted).judge(failed(OSError())) == verdict
    assert recovery(exhausted=exhausted).judge(failed(UndecodableError("no"))) == verdict


def test_without_a_place_for_dead_letters_the_record_is_kept_and_the_group_ends():
    assert recovery(attempts=1, dead_letters=None).judge(failed(OSError())) == Halt()


def test_signals_say_what_becomes_of_the_record_whatever_the_policy_says():
    one = recovery(exhausted="skip")
    assert one.judge(failed(Skip("mine not"))) == Settled("skipped")
    assert why(one.judge(failed(DeadLetter("given up")))) == "dead_lettered"
    assert one.judge(failed(Retry(after=7), 1)) == Again(7)
    assert one.judge(failed(Retry(), 2)) == Again(0.4)
    assert why(recovery().judge(failed(Retry(after=7), 3))) == "dead_lettered", "it counts as an attempt"


def test_an_open_circuit_makes_the_record_wait_and_is_no_attempt_however_deep_it_was_raised():
    error = RuntimeError("no charge")
    error.__cause__ = CircuitOpenError("psp", 4.0)
    for attempt in (1, 3, 50):
        assert recovery().judge(failed(error, attempt)) == Again(4.0, counts=False)


def test_a_record_that_kills_the_process_is_given_up_even_where_its_policy_calls_that_retriable():
    lenient = Meanings(retriable=[ProcessDiedError])
    assert why(recovery(meanings=lenient, attempts=99).judge(failed(ProcessDiedError(3), 3))) == "dead_lettered"


# --- meanings


def test_the_nearest_class_decides_by_code_or_by_dotted_name():
    by_class = Meanings(fatal=[CardRefused], retriable=[StolenCard])
    by_name = Meanings(fatal=[f"{__name__}.CardRefused"], retriable=[f"{__name__}.StolenCard"])
    for meanings in (by_class, by_name):
        assert meanings.fatal(CardRefused())
        assert not meanings.fatal(StolenCard())
    assert Meanings(fatal=[CardRefused]).fatal(StolenCard()), "a rule holds for what is derived"
    assert not Meanings(fatal=[StolenCard]).fatal(CardRefused())


def test_an_exception_of_which_no_rule_speaks_means_what_it_was_raised_from():
    error = RuntimeError("billing failed")
    error.__cause__ = OSError()
    error.__cause__.__cause__ = CardRefused()
    assert Meanings(fatal=[CardRefused]).fatal(error)
    assert not Meanings(fatal=[CardRefused], retriable=[OSError]).fatal(error), "the nearer cause was spoken of"
    assert not Meanings().fatal(error)


def test_causes_that_go_in_a_circle_end():
    one, two = RuntimeError(), RuntimeError()
    one.__cause__, two.__cause__ = two, one
    assert not Meanings().fatal(one)


def test_a_group_of_exceptions_is_fatal_when_all_of_it_is():
    meanings = Meanings(fatal=[CardRefused])
    assert meanings.fatal(ExceptionGroup("both", [CardRefused(), StolenCard()]))
    assert not meanings.fatal(ExceptionGroup("one", [CardRefused(), OSError()]))


def test_decoding_validation_and_wiring_are_fatal_unless_a_policy_says_otherwise():
    import msgspec
    import pydantic

    class Order(pydantic.BaseModel):
        total: int

    with pytest.raises(pydantic.ValidationError) as raised:
        Order(total="many")
    with pytest.raises(msgspec.ValidationError) as raised_too:
        msgspec.json.decode(b'"many"', type=int)
    found = [UndecodableError("no"), DeclarationError("no"), raised.value, raised_too.value]
    assert all(Meanings().fatal(error) for error in found)
    assert not Meanings(retriable=[UndecodableError]).fatal(found[0])
    assert not any(Meanings().fatal(error) for error in (ValueError(), KeyError(), OSError(), TimeoutError()))


def test_an_exception_is_found_by_its_name_and_what_is_missing_of_it_is_said():
    assert exception_named("OSError") is OSError
    assert exception_named("kafkaboot.errors.BatchFailed") is BatchFailed
    for name, text in [
        ("OSErorr", "module 'builtins' has no 'OSErorr'"),
        ("shop.no.Such", "there is no module 'shop.no'"),
        ("kafkaboot.errors.annotations", "module 'kafkaboot.errors' has something else of the name 'annotations'"),
    ]:
        with pytest.raises(LookupError, match=text):
            exception_named(name)
