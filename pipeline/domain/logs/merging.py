"""Which keys are of one kind: those that differ only in a value, in how many they list, or in an optional one."""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from pipeline.domain.logs.masks import VARIABLE
from pipeline.domain.logs.words import Key, is_word, split, tidy

_OPTIONAL = re.compile(r" ?\([^()]*<\*>[^()]*\) ?")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z_+-]*\.?")
_NUMBERED = re.compile(r"\d|<\*>|\w\.\w+\.\w")
"""What a value at the beginning of a line holds: numbers, or a name in three parts; others are what a line is about."""
_HEAD = re.compile(r"([A-Za-z_-]+)(?=[\d<])")
_LETTERS = re.compile(r"[A-Za-z]{2}")
_EMPTY = (("(<*>)", "()"), ("=<*>", "="))
_NAMES_PEOPLE = frozenset({"user", "User", "host"})
_UNITS = frozenset({"B", "KB", "MB", "GB", "TB", "bytes", "us", "ms", "s", "sec", "sec.", "secs", "secs.", "min"})
_FEW, _SOME, _MANY = 3, 4, 8
"""So many different words in one place are values: less is needed the more else the lines have in common."""
_MUCH_IN_COMMON = 5
_LONG_LIST = 20
"""So many parts of a key in a row are a list, though no other line has one of another length."""
_MOST_ROUNDS = 50


class Templates:
    """Keys, and the template each has come to."""

    def __init__(self, keys: Iterable[Key]) -> None:
        """Begin with every key as a template of its own."""
        self._of: dict[Key, Key] = {key: key for key in keys}
        self._members: dict[Key, set[Key]] = {key: {key} for key in self._of}

    def __getitem__(self, key: Key) -> Key:
        """Return a key's template."""
        return self._of[key]

    @property
    def live(self) -> list[Key]:
        """The templates, in the order in which they came to be."""
        return list(self._members)

    def merge(self, templates: Iterable[Key], into: Key) -> None:
        """Give the members of some templates another."""
        members: set[Key] = set()
        for one in templates:
            members |= self._members.pop(one, set())
        self._members.setdefault(into, set()).update(members)
        for member in members:
            self._of[member] = into


def merged(keys: Iterable[Key]) -> Templates:
    """Return the template of each key."""
    templates = Templates(keys)
    _merge_empty(templates)
    _merge_lists(templates)
    _merge_optional(templates)
    for _ in range(_MOST_ROUNDS):
        if not _merge_values(templates):
            break
    return templates


def _merge_empty(templates: Templates) -> None:
    """Take `rhost=` and `()` for places whose value is missing, where others have one there."""
    known = {"".join(key): key for key in templates.live}
    for text, key in known.items():
        for full, empty in _EMPTY:
            bare = known.get(text.replace(full, empty)) if full in text else None
            if bare is not None and bare != key:
                templates.merge([bare], key)


def _merge_lists(templates: Templates) -> None:
    """Take lists that are long, or of different lengths in otherwise equal lines, for one value."""
    alike: dict[Key, list[Key]] = defaultdict(list)
    for key in templates.live:
        alike[_without_repeats(key)].append(key)
    for short, keys in alike.items():
        if len(keys) > 1 or len(keys[0]) - len(short) >= _LONG_LIST:
            templates.merge(keys, short)


def _without_repeats(key: Key) -> Key:
    """Return a key with one value for each run of equal ones that the same separators part."""
    if sum(VARIABLE in part for part in key) < 2:  # noqa: PLR2004 — no run
        return key
    parts: list[str] = []
    at = 0
    while at < len(key):
        parts.append(key[at])
        width = _gap(key, at) if VARIABLE in key[at] else 0
        while width and key[at : at + width] == key[at + width : at + 2 * width]:
            at += width
        if width and key[at + width : at + width + 1] == (key[at],):
            at += width  # the last of a run has nothing behind it
        at += 1
    return tuple(parts)


def _gap(key: Key, at: int) -> int:
    """Return how far the next word is, if only blanks and a comma part them; 0 if not."""
    for width in (2, 3):
        between = key[at + 1 : at + width]
        if at + width < len(key) and is_word(key[at]) and is_word(key[at + width]):
            return width if all(part.isspace() or part == "," for part in between) else 0
    return 0


def _merge_optional(templates: Templates) -> None:
    """Take a value in parentheses that some of otherwise equal lines lack for an optional one."""
    alike: dict[str, list[Key]] = defaultdict(list)
    for key in templates.live:
        alike[_OPTIONAL.sub(" ", "".join(key)).strip()].append(key)
    for bare, keys in alike.items():
        texts = ["".join(key) for key in keys]
        if len(keys) > 1 and bare in texts:
            templates.merge(keys, split(tidy(_OPTIONAL.sub(VARIABLE, max(texts, key=len)))))


def _merge_values(templates: Templates) -> bool:
    """Merge lines that differ in one word that looks like a value; returns whether there were any."""
    alike: dict[tuple[int, int, int], list[Key]] = defaultdict(list)
    for key in templates.live:
        heads = list(itertools.accumulate(key, _folded, initial=len(key)))
        tails = list(itertools.accumulate(reversed(key), _folded, initial=0))
        for place, part in enumerate(key):
            if is_word(part):
                alike[place, heads[place], tails[-place - 2]].append(key)
    live, done = set(templates.live), False
    for (place, _, _), keys in alike.items():
        there = [key for key in keys if key in live] if len(keys) > 1 else keys
        if len(there) < 2:  # noqa: PLR2004
            continue
        before, behind = there[0][:place], there[0][place + 1 :]
        there = [key for key in there if key[:place] == before and key[place + 1 :] == behind]
        values = {key[place] for key in there}
        if _vary(values, before, behind):
            new = split(tidy("".join((*before, _named(values), *behind))))
            templates.merge(there, new)
            live.difference_update(there)
            done = True
    return done


def _folded(so_far: int, part: str) -> int:
    """Return a number for what was folded and a part more, so that beginnings are compared at the price of a number."""
    return hash((so_far, part))


def _vary(values: set[str], before: Sequence[str], behind: Sequence[str]) -> bool:
    """Whether different words in one place are values, and not different kinds of line."""
    context = sum(_LETTERS.search(part) is not None for part in (*before, *behind))
    plain = [value for value in values if _PLAIN.fullmatch(value)]
    begins = not any(map(is_word, before))
    if not context or (begins and not all(map(_NUMBERED.search, values))):
        return False
    if not plain or values <= _UNITS:
        return True
    if sum(value.isupper() and len(value) > 1 for value in plain) * 2 > len(values):
        return False  # states and kinds are written so
    previous = next((part for part in reversed(before) if not part.isspace()), "")
    following = next((part for part in behind if not part.isspace()), "")
    if previous in _NAMES_PEOPLE or (previous, following) == ("for", "from"):
        return True
    if len(plain) < len(values):  # some look like values
        return len(values) >= _FEW and (previous in {"=", ":"} or VARIABLE in values or len(values) >= _SOME)
    return len(values) >= (_SOME if previous in {"=", ":"} or context >= _MUCH_IN_COMMON else _MANY)


def _named(values: set[str]) -> str:
    """Return the letters that all values begin with, if what follows are numbers, and `<*>`."""
    heads = {found.group(1) if (found := _HEAD.match(value)) else "" for value in values}
    head = next(iter(heads))
    return head + VARIABLE if len(heads) == 1 and len(head) > 1 else VARIABLE
