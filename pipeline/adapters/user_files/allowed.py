"""What a pydantic model allows at a path: read from the models themselves, so that a new kind needs nothing here."""

import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

_UNIONS = (Union, types.UnionType)


def allowed_keys(model: type[BaseModel], data: object, path: Sequence[str | int]) -> tuple[str, ...]:
    """Return the keys that the table at `path` may have, in the model's order; empty where any may stand or none."""
    kinds: list[object] = [model]
    for part in path:
        table = data if isinstance(data, dict) else None
        kinds = [inner for kind in kinds for inner in _inside(kind, part, table)]
        data = _part(data, part)
    models = [kind for kind in _flat(kinds) if _fits(kind, data)]
    return tuple(dict.fromkeys(name for kind in models for name in kind.model_fields))


def _part(data: object, part: str | int) -> object:
    if isinstance(data, dict) and part in data:
        return data[part]
    if isinstance(data, list) and isinstance(part, int) and part < len(data):
        return data[part]
    return None


def _inside(kind: object, part: str | int, table: dict[str, Any] | None) -> list[object]:
    """Return the annotations of what stands under `part` in a value annotated as `kind`."""
    found: list[object] = []
    for model in _flat([kind]):
        if isinstance(part, str) and part in model.model_fields and _fits(model, table):
            found.append(_whole(model.model_fields[part].annotation))
    for plain in _plain([kind]):
        arguments = get_args(plain)
        if get_origin(plain) is dict and isinstance(part, str):
            found.append(arguments[1])
        elif get_origin(plain) in {tuple, list} and isinstance(part, int):
            found.append(arguments[0])
    return found


def _whole(annotation: object) -> object:
    return annotation


def _plain(kinds: Iterable[object]) -> list[object]:
    """Return the members of unions, without what is said about them in `Annotated`."""
    found: list[object] = []
    for kind in kinds:
        origin = get_origin(kind)
        if origin is Annotated:
            found.extend(_plain(get_args(kind)[:1]))
        elif origin in _UNIONS:
            found.extend(_plain(get_args(kind)))
        else:
            found.append(kind)
    return found


def _flat(kinds: Iterable[object]) -> list[type[BaseModel]]:
    return [kind for kind in _plain(kinds) if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _fits(model: type[BaseModel], data: object) -> bool:
    """Tell a union's members apart by their `kind`; without one, all of them fit."""
    field = model.model_fields.get("kind")
    kind = data.get("kind") if isinstance(data, dict) else None
    return field is None or kind is None or kind in get_args(field.annotation)
