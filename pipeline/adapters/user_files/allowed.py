"""What a pydantic model allows at a path: read from the models themselves, so that a new kind needs nothing here."""

import builtins
import types
from collections.abc import Sequence
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

_UNIONS = (Union, types.UnionType)


def allowed_keys(model: type[BaseModel], data: object, path: Sequence[str | int]) -> tuple[str, ...]:
    """Return the keys that the table at `path` of `data` may have, in the model's order; none where any may stand."""
    models, table = _models_at(model, data, path)
    fields = [field for kind in models if _fits(kind, table) for field in kind.model_fields.items()]
    return tuple(dict.fromkeys(_written(name, field) for name, field in fields))


def allowed_kinds(model: type[BaseModel], data: object, path: Sequence[str | int]) -> tuple[str, ...]:
    """Return the values that `kind` may have in the table at `path`."""
    models, _ = _models_at(model, data, path)
    return tuple(name for kind in models for name in _kinds(kind))


def allowed_words(model: type[BaseModel], data: object, path: Sequence[str | int]) -> tuple[str, ...]:
    """Return the words that may stand at `path`, where only certain words may."""
    kinds, _ = _types_at(model, data, path)
    members = [member for kind in kinds for member in _members(kind)]
    words = [word for member in members if get_origin(member) is Literal for word in get_args(member)]
    return (*dict.fromkeys(words), *(("true", "false") if bool in members else ()))


def description_at(model: type[BaseModel], data: object, path: Sequence[str | int]) -> str:
    """Return what the model says in words about the key at `path`; empty where it says nothing."""
    models, _ = _models_at(model, data, path[:-1])
    fields = [kind.model_fields[str(path[-1])] for kind in models if path and path[-1] in kind.model_fields]
    return next((field.description for field in fields if field.description), "")


def value_at(data: object, path: Sequence[str | int]) -> object:
    """Return what stands at a path of plain tables and lists; None where nothing does."""
    for part in path:
        match data:
            case dict() if part in data:
                data = data[part]
            case list() if isinstance(part, int) and part < len(data):
                data = data[part]
            case _:
                return None
    return data


def _models_at(model: type[BaseModel], data: object, path: Sequence[str | int]) -> tuple[list[type[BaseModel]], object]:
    kinds, here = _types_at(model, data, path)
    return _models(kinds), here


def _types_at(model: type[BaseModel], data: object, path: Sequence[str | int]) -> tuple[list[object], object]:
    kinds: list[object] = [model]
    for part in path:
        kinds = [inner for kind in kinds for inner in _inside(kind, part, data)]
        data = value_at(data, (part,))
    return kinds, data


def _inside(kind: object, part: str | int, table: object) -> list[object]:
    """Return the types of what may stand under `part` in a value of type `kind`."""
    found = [
        model.model_fields[str(part)].annotation
        for model in _models([kind])
        if part in model.model_fields and _fits(model, table)
    ]
    for plain in _members(kind):
        arguments = get_args(plain)
        match get_origin(plain), part:
            case (builtins.dict, str()):
                found.append(arguments[1])
            case (builtins.tuple | builtins.list, int()):
                found.append(arguments[0])
    return list(found)


def _written(name: str, field: FieldInfo) -> str:
    """Return a field's name as users write it: the first of its other names, where it has any."""
    other = field.validation_alias
    return str(other.choices[0]) if isinstance(other, AliasChoices) else name


def _members(kind: object) -> list[object]:
    """Return the members of a union, at any depth, without what `Annotated` says about them."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _members(get_args(kind)[0])
    if origin in _UNIONS:
        return [member for part in get_args(kind) for member in _members(part)]
    return [kind]


def _models(kinds: Sequence[object]) -> list[type[BaseModel]]:
    members = [member for kind in kinds for member in _members(kind)]
    return [member for member in members if isinstance(member, type) and issubclass(member, BaseModel)]


def _kinds(model: type[BaseModel]) -> tuple[str, ...]:
    field = model.model_fields.get("kind")
    return () if field is None else get_args(field.annotation)


def _fits(model: type[BaseModel], table: object) -> bool:
    """Tell a union's members apart by the table's `kind`; without one, all of them fit."""
    kind = table.get("kind") if isinstance(table, dict) else None
    return kind is None or not _kinds(model) or kind in _kinds(model)
