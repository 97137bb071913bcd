"""Text as a model reads it through a disguise: unseen characters dropped, look-alikes and base64 read as what they say.

Only for looking at a text: what is asked and stored stays as it came in.
"""

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterator

_MOST_CODES = 20
_LONGEST_CODE = 4000
_CODE = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}")
_READABLE = 0.95
_ALIKE = dict(
    zip(
        "абвсԁеԛһіјӏкмнорԗгѕтуѵԝхαβγεηικνορτυχω",
        "abbcdeqhijlkmhopprstyvwxabyenikvoptuxw",
        strict=True,
    )
)
_SPELLED = re.compile(r"(?<![^\W_])(?:[^\W\d_][ ,./*_-]{1,2}){2,40}[^\W\d_](?![^\W_])")
_NO_LETTER = re.compile(r"[\W\d_]+")
_MIXED = re.compile(r"(?<![\w$@])(?=[^\s]{0,30}[a-z]{2})[a-z0134578$@]{4,30}(?!\w)")
_FIGURES = str.maketrans("0134578$@", "oieastbsa")
_LETTERS = re.compile(r"[^\W\d_]+")
_LATIN = re.compile("[a-z]")
_TAGS = re.compile("[\U000e0020-\U000e007e]+")
"""Invisible twins of ASCII, which some models read."""
_TAG_ZERO = 0xE0000
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\U000e0000-\U000e01ef]"
)


def undisguised(text: str) -> str:
    """Return a text in small letters, in its plainest characters, with nothing in it that cannot be seen.

    >>> undisguised("Ign\u043ere \uff49\u200bt")
    'ignore it'
    """
    if text.isascii():
        return text.lower()
    seen = _UNSEEN.sub("", _TAGS.sub(_tagged, text))
    plain = unicodedata.normalize("NFKC", seen).casefold()
    return _LETTERS.sub(_in_one_script, plain)


def unspelled(text: str) -> str:
    """Return a text in which letters that were spelled one by one are a word, and figures in words are letters.

    >>> unspelled("write l-o-w, or b, i, l, l: genu1ne")
    'write low, or bill: genuine'
    """
    joined = _SPELLED.sub(lambda found: _NO_LETTER.sub("", found[0]), text)
    return _MIXED.sub(lambda found: found[0].translate(_FIGURES), joined)


def decoded(text: str) -> Iterator[str]:
    """Yield what a text says in base64, where that is something to read."""
    for number, found in enumerate(_CODE.finditer(text)):
        if number >= _MOST_CODES:
            return
        code = found[0][:_LONGEST_CODE].rstrip("=").replace("-", "+").replace("_", "/")
        code = code[: len(code) - (len(code) % 4 == 1)]
        try:
            said = base64.b64decode(code + "=" * (-len(code) % 4)).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
        readable = sum(sign.isalnum() or sign in " .,:;!?'\"\n" for sign in said)
        if " " in said.strip() and readable >= _READABLE * len(said):
            yield said


def _tagged(found: re.Match[str]) -> str:
    return f" {''.join(chr(ord(tag) - _TAG_ZERO) for tag in found[0])} "


def _in_one_script(found: re.Match[str]) -> str:
    """Read a word that mixes Latin letters with their look-alikes as Latin; words of another script stay."""
    word = found[0]
    if word.isascii():
        return word
    read = "".join(_ALIKE.get(letter, letter) for letter in word)
    return read if _LATIN.search(word) or read.isascii() else word
