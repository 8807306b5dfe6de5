from __future__ import annotations

import pytest

from kafkaboot.declare import collect, component, on_dead_letter
from kafkaboot.errors import DeclarationError
from kafkaboot.failure import Letter


def test_the_function_stays_as_it_was_and_is_found():
    @on_dead_letter
    def tell(letter: Letter) -> str:
        return letter.topic

    found = collect([tell])
    (spec,) = found.letter_listeners
    assert spec.function is tell
    assert "test_on_dead_letter.py:" in spec.where
    assert not found.handlers


def test_one_that_takes_nothing_is_refused_at_once():
    with pytest.raises(DeclarationError, match="takes nothing") as caught:

        @on_dead_letter
        def tell() -> None: ...

    assert "def tell(letter: Letter)" in caught.value.todo


@pytest.mark.parametrize("wrong", [int, object(), "tell"])
def test_it_stands_on_functions_only(wrong):
    with pytest.raises(DeclarationError):
        on_dead_letter(wrong)


def test_a_method_is_refused_whether_its_class_is_a_component_or_not():
    def make():
        class Pager:
            @on_dead_letter
            def tell(self, letter: Letter) -> None: ...

        return Pager

    for owner in (make(), component(make())):
        with pytest.raises(DeclarationError, match=r"stands on the method Pager\.tell"):
            collect([owner])
