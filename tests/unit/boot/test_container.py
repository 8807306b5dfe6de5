from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Generic, Optional, Protocol, TypeVar

import pytest

from kafkaboot.boot.component import Component, Dependency
from kafkaboot.boot.container import Container
from kafkaboot.boot.graph import Demand
from kafkaboot.declare import Named
from kafkaboot.errors import ConfigurationError, KafkabootError, WiringError

T = TypeVar("T")


class TaxRates: ...


class TaxRate: ...


class Tax:
    def __init__(self, rates: TaxRates) -> None:
        self.rates = rates


class Store(ABC):
    @abstractmethod
    def put(self) -> None: ...


class FileStore(Store):
    def put(self) -> None: ...


class SqlStore(Store):
    def put(self) -> None: ...


class Cached(Store):
    def __init__(self, inner: Store) -> None:
        self.inner = inner

    def put(self) -> None: ...


class Reads(Protocol):
    def put(self) -> None: ...


class TakesText:
    def __init__(self, rates: "TaxRates", size: int = 3) -> None:  # noqa: UP037
        self.rates, self.size = rates, size


def of(factory, line=1, provides=None, **kwargs):
    provided = provides or factory
    return Component(
        provided, factory, f"shop/{factory.__name__.lower()}.py:{line}", factory.__name__.lower(), **kwargs
    )


def bill(**wants):
    return Demand("bill", "shop/handlers.py:21", tuple(Dependency(name, wanted) for name, wanted in wants.items()))


def container(*components, demands=()):
    made = Container(components)
    made.check(demands)
    return made


def problem(*components, demands=()):
    with pytest.raises(KafkabootError) as raised:
        container(*components, demands=demands)
    return str(raised.value)


def test_a_component_is_built_once_from_its_annotations_even_when_they_are_text():
    made = container(of(TakesText), of(TaxRates), of(Tax))

    assert made.get(TakesText).rates is made.get(Tax).rates
    assert made.get(TakesText).size == 3
    assert [one.provides for one in made.order()] == [TaxRates, TakesText, Tax]


def test_a_missing_component_is_drawn_as_the_path_from_the_handler():
    assert problem(of(Tax, 8), of(TaxRate, 3), demands=[bill(tax=Tax)]) == (
        "nothing provides TaxRates\n"
        "  bill (shop/handlers.py:21)\n"
        "  └─ tax: Tax (shop/tax.py:8)\n"
        "     └─ rates: TaxRates   <- missing\n"
        "  To do: decorate a class, or a function that returns TaxRates, with @component in a scanned package; "
        "near to it: TaxRate (shop/taxrate.py:3)"
    )


def test_several_that_fit_are_listed_and_none_is_chosen():
    assert problem(of(FileStore), of(SqlStore, 4), demands=[bill(store=Store)]) == (
        "2 components provide Store, and one is asked for\n"
        "  bill (shop/handlers.py:21)\n"
        "  └─ store: Store   <- which one?\n"
        "        FileStore (shop/filestore.py:1)\n"
        "        SqlStore (shop/sqlstore.py:4)\n"
        '  To do: mark one with @component(primary=True), or ask for one by name: Annotated[Store, Named("filestore")]'
    )


class Basket:
    def __init__(self, prices: Prices) -> None: ...


class Prices:
    def __init__(self, rates: Rates) -> None: ...


class Rates:
    def __init__(self, basket: Basket) -> None: ...


def test_a_circle_is_drawn_with_every_component_on_it():
    assert problem(of(Basket), of(Prices, 2), of(Rates, 3), demands=[bill(prices=Prices)]) == (
        "components need each other in a circle\n"
        "  Basket (shop/basket.py:1)\n"
        "  └─ prices: Prices (shop/prices.py:2)\n"
        "     └─ rates: Rates (shop/rates.py:3)\n"
        "        └─ basket: Basket   <- circle\n"
        "  To do: let one of them take what both need as a component of its own, "
        "or hand it over in an @on_start method"
    )


def test_all_problems_are_told_at_once():
    text = problem(of(Tax), of(FileStore), of(SqlStore), of(Basket), of(Prices), of(Rates), demands=[bill(store=Store)])

    assert text.startswith("3 problems with the components\n\n1) 2 components provide Store")
    assert "\n\n2) nothing provides TaxRates\n  Tax (shop/tax.py:1)\n  └─ rates" in text
    assert "\n\n3) components need each other in a circle\n" in text


def test_nothing_is_built_while_the_graph_has_a_problem():
    built = []

    def rates() -> TaxRates:
        built.append("rates")
        return TaxRates()

    problem(of(rates, provides=TaxRates), of(Basket))
    assert built == []
    container(of(rates, provides=TaxRates)).get(TaxRates)
    assert built == ["rates"]


def test_a_primary_component_wins_and_a_name_chooses_another():
    class Shop:
        def __init__(self, store: Store, archive: Annotated[Store, Named("sqlstore")]) -> None:
            self.store, self.archive = store, archive

    Shop.__init__.__annotations__ = {"store": Store, "archive": Annotated[Store, Named("sqlstore")]}
    made = container(of(FileStore, primary=True), of(SqlStore), of(Shop))

    assert isinstance(made.get(Shop).store, FileStore)
    assert isinstance(made.get(Shop).archive, SqlStore)
    assert isinstance(made.get(Store, "sqlstore"), SqlStore)


def test_a_name_that_nothing_carries_is_missing_and_the_others_of_the_type_are_near():
    demand = Demand("bill", "shop/handlers.py:21", (Dependency("store", Store, "archive"),))

    text = problem(of(FileStore), of(SqlStore), demands=[demand])
    assert text.startswith("nothing named 'archive' provides Store\n")
    assert text.endswith("near to it: FileStore (shop/filestore.py:1), SqlStore (shop/sqlstore.py:1)")


def test_a_protocol_is_filled_by_whatever_has_its_members_and_a_nominal_subclass_comes_first():
    class Declared(Reads):
        def put(self) -> None: ...

    assert isinstance(container(of(FileStore), of(TaxRates)).get(Reads), FileStore)
    assert isinstance(container(of(FileStore), of(Declared)).get(Reads), Declared)
    with pytest.raises(WiringError):
        container(of(TaxRates)).get(Reads)


def test_an_exact_type_comes_before_a_subclass():
    class Better(Tax):
        pass

    assert type(container(of(TaxRates), of(Tax), of(Better)).get(Tax)) is Tax


def test_optional_and_default_parameters_may_be_absent():
    class Shop:
        def __init__(self, tax: Optional[Tax], rates: TaxRates | None, size: int = 5) -> None:  # noqa: UP045
            self.tax, self.rates, self.size = tax, rates, size

    shop = container(of(Shop)).get(Shop)
    assert (shop.tax, shop.rates, shop.size) == (None, None, 5)
    made = container(of(Shop), of(TaxRates))
    assert made.get(Shop).rates is made.get(TaxRates)


@dataclass
class Counter:
    tax: Tax
    size: int = 3


class Special(Counter): ...


def test_a_dataclass_and_a_subclass_that_inherits_its_constructor_are_read_like_any_other():
    made = container(of(Special), of(Counter, primary=True), of(Tax), of(TaxRates))

    assert made.get(Counter) == Counter(made.get(Tax))
    assert type(made.get(Special)) is Special


def test_a_list_takes_every_component_of_the_type():
    class Shop:
        def __init__(self, stores: list[Store]) -> None:
            self.stores = stores

    made = container(of(FileStore), of(Shop), of(SqlStore))
    assert [type(store) for store in made.get(Shop).stores] == [FileStore, SqlStore]
    assert container(of(Shop)).get(Shop).stores == []


def test_a_wrapper_may_take_the_type_that_it_provides():
    made = container(of(Cached, primary=True), of(FileStore))

    assert isinstance(made.get(Store), Cached)
    assert isinstance(made.get(Cached).inner, FileStore)
    assert "<- circle" in problem(of(Cached))


def test_a_parametrised_type_is_filled_by_the_class_that_names_it_as_its_parent():
    class Repository(Generic[T]): ...

    class Orders(Repository[int]): ...

    class Bills(Repository[str]): ...

    class Shop:
        def __init__(self, orders: Repository[int]) -> None:
            self.orders = orders

    Shop.__init__.__annotations__["orders"] = Repository[int]
    assert isinstance(container(of(Orders), of(Bills), of(Shop)).get(Shop).orders, Orders)


def test_arguments_of_a_demand_are_the_same_instances():
    demand = Demand("bill", "shop/handlers.py:21", (Dependency("tax", Tax), Dependency("n", int, default=3)))
    made = container(of(Tax), of(TaxRates), demands=[demand])

    assert made.arguments(demand) == {"tax": made.get(Tax), "n": 3}


def test_eight_threads_that_ask_at_once_get_one_instance():
    gate, built = threading.Barrier(8), []

    def tax() -> Tax:
        built.append(1)
        return Tax(TaxRates())

    made = container(of(tax, provides=Tax))
    seen: list[Tax] = []

    def ask() -> None:
        gate.wait(5)
        seen.append(made.get(Tax))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(built) == 1
    assert len(set(map(id, seen))) == 1


def test_a_constructor_that_raises_is_named_and_a_configuration_error_keeps_its_kind():
    def tax() -> Tax:
        raise ValueError("no rates today")

    def rates() -> TaxRates:
        raise ConfigurationError("shop.rates: too high")

    made = container(of(tax, 8, provides=Tax), of(rates, provides=TaxRates))
    with pytest.raises(WiringError) as raised:
        made.get(Tax)
    assert str(raised.value) == (
        "shop/tax.py:8: building Tax failed: ValueError: no rates today\n"
        "  To do: see what tax does with its arguments; `--traceback` shows the frames"
    )
    with pytest.raises(ConfigurationError):
        made.get(TaxRates)


def test_parameters_that_say_nothing_are_refused_with_their_place():
    def bare(x): ...

    def hidden(x: OnlyForTypeCheckers) -> Tax: ...  # noqa: F821

    async def late() -> Tax: ...

    assert problem(of(bare, 2)) == (
        "shop/bare.py:2: parameter 'x' of bare has no annotation, so nothing can fill it\n"
        "  To do: annotate it with the type of a component or of a settings class, or give it a default"
    )
    text = problem(of(hidden))
    assert text.startswith("shop/hidden.py:1: parameter 'x' of ")
    assert "'OnlyForTypeCheckers'" in text
    assert "late is an async factory" in problem(of(late))
