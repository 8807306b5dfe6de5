"""Which parameters of a handler are filled with its transaction; told by names, so that nothing is imported."""

from __future__ import annotations

from typing import Any, NamedTuple


class Wanted(NamedTuple):
    """How a parameter wants the transaction.

    Attributes:
        session: Whether as a session; else as a connection.
        is_async: Whether it is that of `async def` code.
    """

    session: bool
    is_async: bool


_KNOWN = {
    "sqlalchemy.orm.session.Session": Wanted(session=True, is_async=False),
    "sqlalchemy.ext.asyncio.session.AsyncSession": Wanted(session=True, is_async=True),
    "sqlalchemy.engine.base.Connection": Wanted(session=False, is_async=False),
    "sqlalchemy.ext.asyncio.engine.AsyncConnection": Wanted(session=False, is_async=True),
}


def wanted(annotation: Any) -> Wanted | None:
    """How a parameter of that class wants the transaction; `None` where it is neither a session nor a connection."""
    for kind in getattr(annotation, "__mro__", ()):
        found = _KNOWN.get(f"{kind.__module__}.{kind.__qualname__}")
        if found is not None:
            return found if found.session or kind is annotation else None
    return None
