"""Words that may be values though all lines seen so far have the same there: `for user root`, `app=org.example.mail`.

No rule tells them from a program's own words; models do, asked once a word (see `wiring.log_asking`). What they said
opens a place in a template, and what differs only there is of one kind from then on, without another question.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Final, TypeAlias

from pipeline.domain.logs.masks import VARIABLE
from pipeline.domain.logs.merging import Templates
from pipeline.domain.logs.words import Key, is_word, split, tidy

Told: TypeAlias = Mapping[str, Mapping[int, str]]
"""Template as the rules have it → place of a word in its key → type of the value that the word is."""

VALUES: Final = frozenset(
    {"user", "host", "application", "path", "url", "id", "version", "device", "database", "table", "queue", "topic"}
)
"""What a word that is a value can be; whatever else is said of it, it stays a word."""
_LEADING: Final = frozenset(
    (
        *("user", "username", "account", "app", "application", "package", "pkg", "service", "host"),
        *("for", "from", "to", "by", "on", "at", "in", "with", "via", "is", "named", "called"),
    )
)
"""Words behind which a name may stand."""
_OPENING: Final = frozenset("=:'\"[({|")
_ENCLOSING: Final = frozenset("'\"|")
_NEVER: Final = _LEADING | {
    *("a", "an", "the", "this", "that", "has", "have", "no", "not"),
    *("true", "false", "yes", "null", "none", "nil"),
}
"""Words that are none by themselves."""
_LETTER = re.compile(r"[A-Za-z]")
_DOTTED = re.compile(r"[A-Za-z]\w*(?:\.\w+){2,}[\w$/.:-]*")
_CONTEXT = re.compile(r"[A-Za-z]{2}")


def doubtful_in(template: str) -> list[tuple[int, str]]:
    """Return the words of a template that may be values, each with its place in the key."""
    key = split(template)
    return [(place, part) for place, part in enumerate(key) if _is_doubtful(key, place)]


def _is_doubtful(key: Key, place: int) -> bool:
    part = key[place]
    if not is_word(part) or VARIABLE in part or _LETTER.search(part) is None or not any(map(is_word, key[:place])):
        return False
    if part.lower() in _NEVER or part.isupper():  # states and kinds are written so
        return False
    behind = key[place + 1] if place + 1 < len(key) else ""
    if behind == "(" or (behind in {"=", ":", "::"} and not _DOTTED.fullmatch(part)):
        return False  # a function, and what names the value behind it
    before = next((one for one in reversed(key[:place]) if not one.isspace()), "")
    if before in _ENCLOSING and key[place - 1].isspace():  # it has closed what stands before
        before = ""
    return before in _OPENING or before.lower() in _LEADING or _DOTTED.fullmatch(part) is not None


def opened(template: str, places: Collection[int]) -> str:
    """Return a template with `<*>` in some of its places."""
    return tidy("".join(VARIABLE if place in places else part for place, part in enumerate(split(template))))


def open_places(templates: Templates, told: Told) -> None:
    """Open the places of which models said that their words are values; what differs only there is of one kind.

    A template that the rules have since brought under another is left alone, and so is one that would say nothing.
    """
    live = set(templates.live)
    alike: dict[tuple[int, tuple[int, ...]], list[Key]] = defaultdict(list)
    for text, types in sorted(told.items()):
        key = split(text)
        places = tuple(place for place in sorted(types) if place < len(key))
        if key in live and places and _CONTEXT.search(opened(text, places)):
            alike[len(key), places].append(key)
    for (length, places), keys in alike.items():
        new_of = {_but(key, places): split(opened("".join(key), places)) for key in keys}
        for other in templates.live:
            new = new_of.get(_but(other, places)) if len(other) == length else None
            if new is not None and other != new and all(is_word(other[place]) for place in places):
                templates.merge([other], new)


def _but(key: Key, places: Collection[int]) -> Key:
    return tuple("" if place in places else part for place, part in enumerate(key))


def types_of(told: Told) -> Iterator[tuple[str, int, str]]:
    """Yield the templates with their places opened: template, number of a value, its type."""
    for text, types in told.items():
        key = split(text)
        for place, kind in types.items():
            before = "".join(VARIABLE if one in types else part for one, part in enumerate(key[:place]))
            yield opened(text, types), tidy(before + VARIABLE).count(VARIABLE) - 1, kind
