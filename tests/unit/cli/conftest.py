"""Small applications in folders of their own, and the commands run in this process."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from kafkaboot.cli.program import kafkaboot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from click.testing import Result

HANDLERS = """
from pydantic import BaseModel
from kafkaboot import event, event_handler, publisher, settings

@event("order.placed")
class OrderPlaced(BaseModel):
    order_id: str

@event("invoice.issued")
class InvoiceIssued(BaseModel):
    order_id: str

@settings("{name}")
class ShopSettings(BaseModel):
    api_key: str = ""
    rate: int = 5

@event_handler("orders")
@publisher("invoices", key="order_id")
async def bill(order: OrderPlaced) -> InvoiceIssued:
    return InvoiceIssued(order_id=order.order_id)
"""


@pytest.fixture
def shop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Path]]:
    """Writes an application whose package nobody else has, and goes into its folder; `shop(yaml)` adds to its YAML."""
    package = f"shop_{abs(hash(request.node.nodeid))}"
    monkeypatch.chdir(tmp_path)
    before, path = set(sys.modules), list(sys.path)
    levels, handlers = logging.getLogger().level, list(logging.getLogger().handlers)

    def write(more: str = "", code: str = HANDLERS) -> Path:
        (tmp_path / package).mkdir(exist_ok=True)
        (tmp_path / package / "__init__.py").write_text(code.replace("{name}", "shop"))
        (tmp_path / "application.yaml").write_text(
            f"kafkaboot:\n  application: {{name: shop, packages: [{package}]}}\n{more}"
        )
        return tmp_path

    yield write
    for name in set(sys.modules) - before:
        if name.startswith(package):
            del sys.modules[name]
    sys.path[:] = path
    logging.getLogger().setLevel(levels)
    logging.getLogger().handlers[:] = handlers


@pytest.fixture
def call() -> Callable[..., Result]:
    """Runs a command: `call("config", "show")`."""
    return lambda *args, **kwargs: CliRunner().invoke(kafkaboot, args, prog_name="kafkaboot", **kwargs)
