"""Bytes to payloads and back: one decoder and one encoder for each annotation, built at start, called once a record.

A `str` is the value as UTF-8 text and `bytes` is the value as it stands; everything else is JSON. pydantic models go
through pydantic, which converts ("1" is a number) as it does everywhere. Dataclasses, `msgspec.Struct`, `TypedDict`,
`dict` and `list` go through msgspec, which is strict ("1" is no number). Fields have the names that JSON shows: a
model's aliases are read and written alike.
"""

from __future__ import annotations

import types
import typing
from typing import TYPE_CHECKING, Any

import msgspec

from kafkaboot.errors import DeclarationError, UnencodableError
from kafkaboot.message.annotation import split, type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
RAW = "application/octet-stream"


def decodable(annotation: Any) -> bool:
    """Whether a value could be decoded into it at all: a plain class, which JSON says nothing about, is none."""
    bare, _ = split(annotation)
    if isinstance(bare, type) and hasattr(bare, "__pydantic_validator__"):
        return True
    if typing.get_origin(bare) in {typing.Union, types.UnionType, list, dict, set, tuple, frozenset}:
        return all(decodable(part) for part in typing.get_args(bare) if part is not Ellipsis)
    try:
        return not isinstance(_inspect().type_info(bare), _inspect().CustomType)
    except (TypeError, NameError):
        return typing.get_origin(bare) is not None or isinstance(bare, type)


def decoder(annotation: Any) -> Callable[[bytes | None], Any]:
    """What turns a record's value into the payload.

    Args:
        annotation: The payload's type; with `| None` a null value is `None` instead of an error.

    Returns:
        A function of the raw value. It raises whatever the library behind it raises: `explain` puts that into words,
        on failure only.

    Raises:
        DeclarationError: Nothing can be decoded into that type.
    """
    bare, optional = split(annotation)
    decode: Any
    if bare is bytes:
        # `bytes` answers the same object for bytes and refuses None, without a frame of Python.
        decode = bytes
    elif bare is str:
        decode = bytes.decode
    elif _by_pydantic(bare):
        from kafkaboot.message.model_codec import model_decoder

        decode = model_decoder(annotation if optional else bare)
    else:
        try:
            # JSON's own `null` is None wherever a null value is.
            decode = msgspec.json.Decoder(typing.Optional[bare] if optional else bare).decode  # noqa: UP045
        except Exception as error:
            raise _undeclarable(bare, str(error)) from error
    if not optional:
        return decode  # type: ignore[no-any-return]
    return lambda raw: None if raw is None else decode(raw)


def encoder(annotation: Any = None) -> Callable[[Any], bytes | None]:
    """What turns a payload into a record's value; `None` becomes a null value, a tombstone.

    Args:
        annotation: The type that is mostly encoded, which makes it faster; other payloads are encoded as well.

    Returns:
        A function of the payload.

    Raises:
        UnencodableError: From the function: a part of the payload has no form in JSON. It names the part.
    """
    bare, _ = split(annotation)
    if not isinstance(bare, type) or bare is bytes or bare is str:
        return encode
    if hasattr(bare, "__pydantic_serializer__"):
        from kafkaboot.message.model_codec import model_serializer

        to_json = model_serializer(bare)

        def encode_model(payload: Any) -> bytes | None:
            # A subclass has fields of its own, which the declared class's serializer would leave out.
            if type(payload) is not bare:
                return encode(payload)
            try:
                return to_json(payload, by_alias=True)
            except Exception as error:
                raise _unencodable(payload, error) from error

        return encode_model
    to_bytes = _JSON.encode

    def encode_known(payload: Any) -> bytes | None:
        if type(payload) is not bare:
            return encode(payload)
        try:
            return to_bytes(payload)
        except Exception as error:
            raise _unencodable(payload, error) from error

    return encode_known


def encode(payload: Any) -> bytes | None:
    """The value of a record that carries `payload`, whatever its type.

    Raises:
        UnencodableError: A part of it has no form in JSON.
    """
    kind = type(payload)
    way = _WAYS.get(kind) or _way(kind)
    try:
        return way(payload)
    except Exception as error:
        raise _unencodable(payload, error) from error


def _way(kind: type) -> Callable[[Any], bytes | None]:
    """How payloads of a class become bytes, found once for each class."""
    way: Callable[[Any], bytes | None] = _JSON.encode
    if hasattr(kind, "__pydantic_serializer__"):
        from kafkaboot.message.model_codec import model_serializer

        to_json = model_serializer(kind)
        way = lambda payload: to_json(payload, by_alias=True)  # noqa: E731 - the other ways are values as well
    _WAYS[kind] = way
    return way


def content_type(annotation: Any) -> str:
    """The media type of what `encoder` makes of that type."""
    bare, _ = split(annotation)
    if bare is str:
        return TEXT
    return RAW if any(bare is raw for raw in (bytes, bytearray, memoryview)) else JSON


def _by_pydantic(annotation: Any) -> bool:
    """Whether a pydantic model, or what only pydantic can tell apart, is anywhere in it."""
    if isinstance(annotation, type) and hasattr(annotation, "__pydantic_validator__"):
        return True
    try:
        info = _inspect().type_info(annotation)
    except NameError as error:
        raise _undeclarable(annotation, f"{error.name!r} is not known at run time") from error
    except TypeError:  # a union that msgspec cannot tell apart: pydantic tries the members in turn
        return True
    foreign = [node.cls for node in _nodes(info, set()) if isinstance(node, _inspect().CustomType)]
    if any(hasattr(getattr(node, "cls", None), "__pydantic_validator__") for node in _nodes(info, set())):
        return True
    if foreign:
        raise _undeclarable(annotation, f"JSON says nothing about {foreign[0].__module__}.{foreign[0].__qualname__}")
    return False


def _nodes(info: Any, seen: set[int]) -> Iterator[Any]:
    """All types that a type is made of; a type may be made of itself."""
    if id(info) in seen:
        return
    seen.add(id(info))
    yield info
    for name in info.__struct_fields__:
        part = getattr(info, name)
        for child in part if isinstance(part, tuple) else (part,):
            inner = child.type if isinstance(child, _inspect().Field) else child
            if isinstance(inner, _inspect().Type):
                yield from _nodes(inner, seen)


def _inspect() -> Any:
    import msgspec.inspect

    return msgspec.inspect


def _undeclarable(annotation: Any, why: str) -> DeclarationError:
    return DeclarationError(
        f"no record can be decoded into {type_name(annotation)}: {why}",
        todo="use a pydantic model, a dataclass, a msgspec.Struct, a TypedDict, dict, list, str or bytes",
    )


def _hook(part: Any) -> Any:
    """The form of what msgspec does not know by itself: a pydantic model somewhere inside."""
    serializer = getattr(type(part), "__pydantic_serializer__", None)
    if serializer is None:
        raise TypeError(f"{type(part).__module__}.{type(part).__qualname__} has no form in JSON")
    return msgspec.Raw(serializer.to_json(part, by_alias=True))


_JSON = msgspec.json.Encoder(enc_hook=_hook)

_WAYS: dict[type, Callable[[Any], bytes | None]] = {
    type(None): lambda _: None,
    bytes: lambda payload: payload,
    bytearray: bytes,
    memoryview: bytes,
    str: str.encode,
}


def _unencodable(payload: Any, error: Exception) -> UnencodableError:
    path, part = _culprit(payload, "")
    name = type(payload).__name__
    spot = f"the field {path!r} of {name}" if path else f"the payload {name}"
    return UnencodableError(
        f"{spot} cannot be encoded: {_why(part, error)}",
        fate="nothing was published",
        todo="make it of pydantic models, dataclasses, Structs, dicts, lists, numbers, texts and times",
    )


def _why(part: Any, error: Exception) -> str:
    """The reason, without the value: it may be a secret."""
    if isinstance(error, RecursionError) or "ircular" in str(error):
        return "it contains itself, or is nested too deeply"
    if isinstance(part, str):
        return "a text with half a surrogate pair is no UTF-8"
    if isinstance(part, int | float):
        return "the number is too large for JSON"
    return f"{type(part).__module__}.{type(part).__qualname__} has no form in JSON"


def _culprit(part: Any, path: str, depth: int = 0) -> tuple[str, Any]:
    """The innermost part that cannot be encoded by itself, and the way to it."""
    for name, child in _children(part):
        if _encodes(child) or depth > 50:
            continue
        return _culprit(child, f"{path}{name}".removeprefix("."), depth + 1)
    return path, part


def _encodes(part: Any) -> bool:
    try:
        if hasattr(type(part), "__pydantic_serializer__"):
            type(part).__pydantic_serializer__.to_json(part, by_alias=True)
        else:
            _JSON.encode(part)
    except Exception:
        return False
    return True


def _children(part: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(part, dict):
        yield from ((f".{name}", child) for name, child in part.items())
    elif isinstance(part, list | tuple | set | frozenset):
        yield from ((f"[{index}]", child) for index, child in enumerate(part))
    else:
        names: Any = getattr(part, "__struct_fields__", None) or getattr(part, "__dataclass_fields__", None)
        names = names or getattr(type(part), "model_fields", ())
        yield from ((f".{name}", getattr(part, name)) for name in names if hasattr(part, name))
