"""What pydantic says of a value, in the words of somebody who writes TOML and knows no Python."""

import re

_SUBJECT = re.compile(r"^(?:Input|String|Dictionary|Tuple|List|Value|Decimal input) should")
_DETAIL = re.compile(r", unable to .*| after validation")
_PLAIN = {
    "tuple_type": "should be a list",
    "list_type": "should be a list",
    "dict_type": "should be a table",
    "model_type": "should be a table",
    "model_attributes_type": "should be a table",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "decimal_type": "should be a number, best in quotes",
}


def plain(kind: str, said: str) -> str:
    """Return an error of this kind of pydantic's, beginning with what the value should be."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind.startswith("date_"):
        return "should be a date such as 2026-01-31"
    return _SUBJECT.sub("should", _DETAIL.sub("", said))
