"""E-mail addresses: as written, as spoken (`jo at example dot com`), and with their signs stripped off.

Chats that went through speech recognition or a cleaning step keep no signs: `jo.doe7@example.com` arrives there as
`jodoe 7 examplecom`. Such a word ends in a mail provider's name or in com, net or org, as few words of a language do.
"""

import re
from collections.abc import Iterator

from pipeline.domain.personal.found import Found

_NAME = r"\w[\w.!#$%&'*+/=?^`{|}~-]{0,63}"
_HOST = r"[^\W_](?:[\w-]{0,62}\w)?(?:\.[\w-]{1,63}){0,8}"
_PROVIDER = (
    r"g(?:oogle)?mail|yahoo|ymail|rocketmail|hotmail|outlook|icloud|protonmail|rediff(?:mail)?|fastmail|zohomail|"
    r"tutanota|aol|gmx|msn|mail|email"
)
_BOX = _PROVIDER.removesuffix("|mail|email")
_TLD = r"com|con|cm|net|org|edu|gov|info|biz|in|uk|ca|au|de|fr|es|it|nl|ch|at|us|io|co"
_WRITTEN = re.compile(rf"{_NAME}@{_HOST}")
_LOOSE = re.compile(rf"{_NAME} {{0,2}}@ {{0,2}}[\w-]{{1,63}}(?:\.[\w-]{{1,63}}){{0,8}}\.(?:{_TLD})\b", re.IGNORECASE)
_DOT = r"(?: {0,2}[\[({<] {0,2}(?:dot|\.) {0,2}[\])}>] {0,2}| {1,2}(?:dot|\.) {1,2}|\.)"
_BRACKETED_AT = r" {0,2}[\[({<] {0,2}(?:at|@) {0,2}[\])}>] {0,2}"
_SPOKEN_AT = r" {1,2}at(?: the rate(?: of)?)? {1,2}"
_SPOKEN_NAME = r"[\w.+-]{1,64}(?: {1,2}(?:dot|underscore|dash|hyphen) {1,2}[\w.+-]{1,64}){0,3}"
_SPOKEN = re.compile(
    rf"(?<![\w.+-]){_SPOKEN_NAME}(?:{_BRACKETED_AT}[\w-]{{1,63}}(?:{_DOT}[\w-]{{2,63}}){{0,3}}"
    rf"|{_SPOKEN_AT}(?:(?:{_BOX})(?:(?:{_DOT}| )(?:{_TLD}))?"
    rf"|[\w-]{{1,63}}(?: {{1,2}}dot {{1,2}}[\w-]{{2,63}}){{1,3}}))\b",
    re.IGNORECASE,
)
# Looked for at the end of a word alone, which is no longer than this.
_LONGEST_WORD = 80
_WORD = re.compile(rf"\w{{1,{_LONGEST_WORD}}}")
_PROVIDER_ENDS = re.compile(
    rf"(?P<name>\w*?)(?:(?:{_PROVIDER})(?:{_TLD})|(?:gmail|yahoo|ymail|hotmail|rediffmail|icloud|protonmail))\Z",
    re.IGNORECASE,
)
_TLD_ENDS = re.compile(r"\w{3,}(?:com|net|org)\Z", re.IGNORECASE)
_MORE = re.compile(rf"\.(?:{_TLD})\b", re.IGNORECASE)
_ENDING_SO = (
    "telecom dotcom intercom sitcom romcom welcom becom internet intranet extranet ethernet planet magnet cabinet "
    "bonnet sonnet hornet cornet garnet subnet telnet dotnet usenet botnet signet linnet dragnet hairnet fishnet "
    "bayonet clarinet castanet coronet baronet carnet kabinet cyborg qualcomm electromagnet vignet"
)
_WORDS_LIKE_THAT = frozenset(_ENDING_SO.split())
_ENDINGS = tuple(_TLD.split("|"))
_SHORTEST_HOST = 7
_MOST_PIECES = 8
_LONGEST_PIECE = 6
"""Digits of a name within an address; a longer number beside it is a number of its own."""
_OTHER_WORDS = (
    "a an and are as at be but by can change contact did email emails for from have i id im is it its mail mailid "
    "me my new no not of old on or our please send sent so sorry sure that thats the their then there this to "
    "update updated use using via was we with yes you your address account number name phone"
)
_NO_NAME = frozenset(_OTHER_WORDS.split())


def emails_in(text: str) -> Iterator[Found]:
    """Yield each address; spans may overlap."""
    for pattern in (_WRITTEN, _LOOSE, _SPOKEN):
        for match in pattern.finditer(text):
            yield Found("email", match.start(), match.end())
    yield from _stripped(text)


def _stripped(text: str) -> Iterator[Found]:
    """Yield addresses that have lost their signs."""
    pieces: list[tuple[int, int]] = []
    for match in _WORD.finditer(text):
        pieces = [*pieces[-_MOST_PIECES:], match.span()]
        word, more = match[0].casefold(), _MORE.match(text, match.end())
        whole = word if more is None else word + more[0].casefold()[1:]  # the at sign alone is lost: miakaygmail.com
        start = _beginning(text, pieces, whole if _PROVIDER_ENDS.fullmatch(whole) else word)
        if start is not None:
            yield Found("email", start, match.end() if more is None else more.end())


def _beginning(text: str, pieces: list[tuple[int, int]], word: str) -> int | None:
    """Return where the address begins whose last piece is this word; None where it ends none."""
    provider = _PROVIDER_ENDS.fullmatch(word)
    is_host = provider is not None or word in {"com", "net", "org"}
    if provider is not None and provider["name"]:
        alone = word not in _NO_NAME
    else:
        like = word.removesuffix("s") in _WORDS_LIKE_THAT or word in _WORDS_LIKE_THAT
        alone = not is_host and not like and len(word) >= _SHORTEST_HOST and _TLD_ENDS.fullmatch(word) is not None
    if not (alone or is_host):
        return None
    first = _name_before(text, pieces, needs_name=not alone and provider is not None and word.endswith(_ENDINGS))
    named = not text[slice(*pieces[first])].isdigit() or provider is not None
    return pieces[first][0] if alone or (first < len(pieces) - 1 and named) else None


def _name_before(text: str, pieces: list[tuple[int, int]], *, needs_name: bool) -> int:
    """Return the first piece of a name that stands before the last piece: `jo doe 7` and the like."""
    at = len(pieces) - 1
    while at > 0 and _follows(text, pieces, at):
        before = text[slice(*pieces[at - 1])]
        if not (before.isdigit() and len(before) <= _LONGEST_PIECE):
            break
        at -= 1
        needs_name = False
        if at > 0 and _follows(text, pieces, at) and _is_name(text[slice(*pieces[at - 1])]):
            at -= 1
    if needs_name and at > 0 and _follows(text, pieces, at) and _is_name(text[slice(*pieces[at - 1])]):
        at -= 1
    return at


def _follows(text: str, pieces: list[tuple[int, int]], at: int) -> bool:
    """Tell whether only a blank parts a piece from the one before."""
    return text[pieces[at - 1][1] : pieces[at][0]] == " "


def _is_name(word: str) -> bool:
    return word.isalnum() and not word.isdigit() and word.casefold() not in _NO_NAME
