from __future__ import annotations

import itertools
import sys
import textwrap
from pathlib import Path

import pytest

from kafkaboot.declare import Declarations, EventRegistry, event_name, scan
from kafkaboot.errors import DeclarationError

NUMBERS = itertools.count()
HEAD = "from kafkaboot.declare import *\nfrom kafkaboot.message import Record\n"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(sys, "path", list(sys.path))
    return World(tmp_path, f"scanned{next(NUMBERS)}")


class World:
    """A package of its own for each test: Python keeps what was imported once."""

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name = root, name

    def write(self, **files: str) -> World:
        """A file for each keyword: `a__b` is `a/b.py` in the package."""
        for name, text in files.items():
            path = self.root / self.name / f"{name.replace('__', '/') if name != 'init' else '__init__'}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(HEAD + textwrap.dedent(text))
        return self

    def scan(self, *apps: str | Path) -> Declarations:
        return scan(*(apps or (self.name,)), root=self.root)

    def fail(self, *apps: str | Path) -> DeclarationError:
        with pytest.raises(DeclarationError) as caught:
            self.scan(*apps)
        return caught.value


def test_a_package_is_scanned_with_everything_below_it_in_the_order_of_names(world: World) -> None:
    world.write(
        init="",
        b="""
            @event("order.placed")
            class Placed: ...
            @component
            class Desk:
                @event_handler("orders")
                async def bill(self, order: dict): ...
            """,
        a="""
            import pydantic
            @settings("shop")
            class Shop(pydantic.BaseModel): ...
            @event_handler("orders")
            @publisher("invoices")
            def z(order: dict): ...
            @event_handler("orders")
            def y(order: dict): ...
            """,
        deep__folder__without_init="""
            @event_handler("orders")
            def x(order: dict): ...
            @component
            def make() -> Record: ...
            """,
    )
    found = world.scan()
    assert [spec.id for spec in found.handlers] == ["z", "y", "x", "bill"]
    assert [spec.name for spec in found.components] == ["Desk", "make"]
    assert [spec.prefix for spec in found.settings] == ["shop"]
    assert [spec.name for spec in found.events] == ["order.placed"]
    assert found.handlers[3].owner is found.components[0].provides
    assert [spec.topic for spec in found.handlers[0].publishers] == ["invoices"]
    assert f"{world.name}.deep.folder.without_init" in found.modules


def test_main_modules_and_tests_are_not_imported(world: World) -> None:
    broken = "raise RuntimeError('imported')"
    world.write(init="", __main____x="", tests__test_a=broken, test_b=broken, conftest=broken)
    (world.root / world.name / "__main__.py").write_text(broken)
    assert world.scan().modules == (world.name,)


def test_what_is_exported_again_counts_once(world: World) -> None:
    world.write(
        init=f"from {world.name}.a import *",
        a="""
            @event_handler("orders")
            def bill(order: dict): ...
            @component
            class Tax: ...
            """,
        b=f"from {world.name}.a import bill, Tax as Renamed",
    )
    found = world.scan()
    assert [spec.id for spec in found.handlers] == ["bill"]
    assert [spec.name for spec in found.components] == ["Tax"]


def test_only_what_is_declared_in_the_scanned_modules_counts_but_events_of_libraries_do(world: World) -> None:
    library = f"{world.name}_library"
    (world.root / f"{library}.py").write_text(
        HEAD + '@event("shared")\nclass Shared: ...\n'
        '@event_handler("orders")\ndef foreign(order: dict): ...\n'
        "@component\nclass Foreign: ...\n"
        'def make():\n    @event_handler("orders", id="made")\n    def inner(order: dict): ...\n    return inner\n'
    )
    world.write(init=f"from {library} import Shared, foreign, Foreign, make\nmade = make()")
    found = world.scan()
    assert [spec.name for spec in found.events] == ["shared"]
    assert [spec.id for spec in found.handlers] == ["made"]
    assert found.components == ()
    # The control: the library is scanned when it is asked for.
    assert {spec.id for spec in world.scan(world.name, library).handlers} == {"foreign", "made"}


def test_importing_fills_no_registry(world: World) -> None:
    world.write(init="", a='@event_handler("orders")\ndef bill(order: dict): ...')
    world.scan()
    other = World(world.root, f"{world.name}_other").write(init="")
    assert other.scan().handlers == ()


def test_an_app_may_be_a_module_a_file_or_a_folder(world: World) -> None:
    text = '@event_handler("orders")\ndef bill(order: dict): ...'
    world.write(init="", a=text)
    single = world.root / f"{world.name}_single.py"
    single.write_text(HEAD + text)
    folder = world.root / world.name
    assert len(world.scan(f"{world.name}.a").handlers) == 1
    assert len(world.scan(single).handlers) == 1
    assert len(world.scan(f"./{single.name}").handlers) == 1
    assert len(world.scan(folder).handlers) == 1
    assert len(world.scan(folder / "a.py").handlers) == 1
    assert world.scan(folder / "a.py").modules == (f"{world.name}.a",)
    assert len(scan(sys.modules[f"{world.name}.a"]).handlers) == 1


def test_one_module_given_by_several_names_counts_once(world: World) -> None:
    world.write(init="", a='@event_handler("orders")\ndef bill(order: dict): ...')
    assert len(world.scan(world.name, f"{world.name}.a", world.root / world.name).handlers) == 1


def test_two_handlers_with_one_id_are_refused_with_both_places(world: World) -> None:
    world.write(
        init="",
        a='@event_handler("orders")\ndef bill(order: dict): ...',
        b='@event_handler("refunds", id="bill")\ndef other(order: dict): ...',
    )
    error = world.fail()
    assert "two handlers have the id 'bill': bill (" in str(error)
    assert f"{world.name}/a.py:3)" in str(error)
    assert f"other ({world.root}/{world.name}/b.py:3)" in str(error)
    assert 'id="..."' in error.todo


def test_one_handler_inherited_by_two_components_is_refused(world: World) -> None:
    world.write(
        init="""
            class Desk:
                @event_handler("orders")
                def bill(self, order: dict): ...
            @component
            class A(Desk): ...
            @component
            class B(Desk): ...
            """
    )
    assert "two handlers have the id 'bill': A.bill (" in str(world.fail())


def test_two_events_of_one_name_are_refused_with_both_places(world: World) -> None:
    world.write(init='@event("e")\nclass A: ...\n@event("e")\nclass B: ...')
    error = world.fail()
    place = f"{world.root}/{world.name}/__init__.py"
    assert f"two events are called 'e': A ({place}:3) and B ({place}:5)" in str(error)


def test_events_are_known_by_name_and_by_class(world: World) -> None:
    world.write(init='@event("e")\nclass A: ...\nclass B(A): ...')
    (spec,) = world.scan().events
    registry = EventRegistry([spec])
    module = sys.modules[world.name]
    assert registry.by_name("e") is spec
    assert registry.by_name("os.system") is None
    assert registry.by_class(module.A) == spec
    assert registry.by_class(module.B) is None
    assert EventRegistry().by_class(module.A) is None
    assert (len(registry), list(registry)) == (1, [spec])
    assert event_name(list[module.A | None]) == event_name(module.A | None) == event_name(module.A) == "e"
    assert event_name(module.B) is event_name(dict) is None


@pytest.mark.parametrize(
    ("text", "wanted", "line"),
    [
        ("x = 1\nimport nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'", 4),
        ("def f(:", "SyntaxError: ", 3),
        ("\n\nx = 1 / 0", "ZeroDivisionError: division by zero", 5),
        ("raise SystemExit(3)", "SystemExit: 3", 3),
        ('event_handler("orders", lanes=4)', "TypeError: event_handler() got an unexpected keyword argument", 3),
        ("import json\njson.loads('{')", "JSONDecodeError: Expecting property name", 4),
    ],
)
def test_a_module_that_cannot_be_imported_is_named_with_line_and_cause(
    world: World, text: str, wanted: str, line: int
) -> None:
    world.write(init="", broken=text)
    error = world.fail()
    assert f"{world.name}.broken cannot be imported: " in str(error)
    assert wanted in str(error)
    assert error.where.endswith(f"{world.name}/broken.py:{line}")
    trace, files = error.__cause__.__traceback__ if error.__cause__ else None, []
    while trace is not None:
        files.append(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    assert not [file for file in files if "kafkaboot/declare/modules" in file or "importlib" in file.split("/")[-1]]


def test_the_line_of_the_deepest_module_of_the_application_is_named(world: World) -> None:
    world.write(init="", a=f"from {world.name} import z", z="import nowhere_at_all")
    error = world.fail()
    assert f"{world.name}.a cannot be imported: ModuleNotFoundError" in str(error)
    assert error.where.endswith(f"{world.name}/z.py:3")
    assert error.todo == "install what provides 'nowhere_at_all', or correct the name"


def test_a_wrong_decorator_speaks_for_itself(world: World) -> None:
    world.write(init="", a='x = 1\n@event_handler("orders", ordering="keys")\ndef bill(order: dict): ...')
    error = world.fail()
    assert error.what == "@event_handler: ordering='keys' is not known"
    assert error.where.endswith(f"{world.name}/a.py:4")


def test_a_package_that_does_not_exist_is_told_with_the_nearest_name(world: World) -> None:
    world.write(init="")
    error = world.fail(f"{world.name}p")
    assert error.what == f"there is no package or module '{world.name}p'"
    assert error.todo.startswith("did you mean 'scanned")
    assert world.fail(f"{world.name}.nothing").what == f"there is no package or module '{world.name}.nothing'"


def test_a_path_that_cannot_be_an_app_is_refused(world: World) -> None:
    (world.root / "my-shop").mkdir()
    (world.root / "notes.txt").write_text("")
    (world.root / "json.py").write_text("")
    assert "there is no file or folder ./nothing" in str(world.fail("./nothing"))
    assert "'my-shop' is no name of a module" in str(world.fail("./my-shop"))
    assert "./notes.txt is no Python file" in str(world.fail("./notes.txt"))
    assert "cannot be imported as 'json': that name belongs to" in str(world.fail("json.py"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('@publisher("a")\ndef lonely(): ...', "@publisher on lonely has no effect"),
        ("@on_start\ndef lonely(self): ...", "@on_start on lonely has no effect"),
        (
            'class Desk:\n    @event_handler("a")\n    def bill(self, order: dict): ...',
            "Desk has decorated methods and is no component",
        ),
        (
            'class Desk:\n    @publisher("a")\n    def bill(self): ...',
            "Desk has decorated methods and is no component",
        ),
        ("class Desk:\n    @on_stop\n    def bill(self): ...", "Desk has decorated methods and is no component"),
    ],
)
def test_a_decorator_that_nobody_would_read_is_refused(world: World, text: str, wanted: str) -> None:
    world.write(init="", a=text)
    error = world.fail()
    assert wanted in str(error)
    assert error.where


def test_a_base_class_or_what_a_factory_builds_needs_no_mark_of_its_own(world: World) -> None:
    world.write(
        init="""
            class Mixin:
                @event_handler("a")
                def bill(self, order: dict): ...
            @component
            class Desk(Mixin): ...
            class Built:
                @event_handler("a")
                def refund(self, order: dict): ...
            @component
            def build() -> Built: ...
            """
    )
    assert [(spec.id, spec.owner.__name__ if spec.owner else "") for spec in world.scan().handlers] == [
        ("bill", "Desk"),
        ("refund", "Built"),
    ]


@pytest.mark.parametrize(
    ("returns", "wanted"),
    [
        ("Missing", "annotated with 'Missing'"),
        ("Record | None", "provides Record | None"),
        ("object", "nothing can ask"),
    ],
)
def test_a_factory_that_provides_no_single_type_is_refused(world: World, returns: str, wanted: str) -> None:
    world.write(init=f"from __future__ import annotations\n@component\ndef build() -> {returns}: ...")
    path = world.root / world.name / "__init__.py"
    path.write_text("from __future__ import annotations\n" + path.read_text().replace("from __future__", "# ", 1))
    assert wanted in str(world.fail())
