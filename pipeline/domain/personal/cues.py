"""What the words beside a number say it is."""

import re
from collections.abc import Iterable, Sequence

_WORD = re.compile(r"[^\W\d_]{1,24}|[$\u20ac\u00a3\u20b9%]|[.!?;\n](?=\s|\Z)")
_REACH = 40
"""Characters beside a number that are looked at."""
_MOST_WORDS = 4
_ENDS = frozenset(".!?;\n")
_ABBREVIATED = frozenset({"no", "nr", "num", "ph", "tel", "mob", "acc", "acct", "ext"})
_SSN = "ssn social security sin ss itin"
_CARD = "card cards cc credit debit visa mastercard amex maestro discover pan cvv"
_PHONE = (
    "phone phones telephone tel tele ph mobile mob cell cellphone contact call calls ring whatsapp fax text sms dial "
    "landline telefon handy"
)
_ANY = "last ends end ending digit digits account acct acc ac checking savings saving social password pin passcode"
_OTHER = (
    "order orders booking bookings confirmation reservation pnr claim claims policy policies invoice invoices "
    "tracking track reference ref ticket tickets case incident request sku item items product serial part model "
    "version build release zip zipcode pincode postal postcode zipcodes flight error code port page room apt "
    "apartment suite floor unit year gate seat timestamp commit bug issue"
)
_AMOUNT = (
    "pay paid charge charged charges cost costs price amount total worth balance transfer around about nearly over "
    "under than of for rs inr usd eur gbp dollar dollars $ \u20ac \u00a3 \u20b9 %"
)
_WHEN = (
    "since from until till year during january february march april may june july august september october november "
    "december"
)
_CURRENCY = "$ \u20ac \u00a3 \u20b9 rs inr usd eur gbp dollars rupees"
_UNIT = (
    "$ \u20ac \u00a3 \u20b9 % dollars dollar usd eur euro euros gbp inr rs rupees rupee bucks cents pounds percent "
    "am pm gb mb kb tb kg km ms bytes byte miles mile years year days day hours hour hrs minutes mins seconds weeks "
    "months people persons items pieces pcs units times"
)
_MEANINGS = {
    **dict.fromkeys(_AMOUNT.split(), "amount"),
    **dict.fromkeys(_WHEN.split(), "when"),
    **dict.fromkeys(_OTHER.split(), "other"),
    **dict.fromkeys(_ANY.split(), "any"),
    **dict.fromkeys(_PHONE.split(), "phone"),
    **dict.fromkeys(_CARD.split(), "card"),
    **dict.fromkeys(_SSN.split(), "ssn"),
}
_UNITS = frozenset(_UNIT.split())
_CURRENCIES = frozenset(_CURRENCY.split())
_FILLER = "number numbers no num nr id is are was this that the my your our of a"
_FILLERS = frozenset(_FILLER.split())
_PERSONAL = frozenset({"any", "phone", "card", "ssn"})
_GOING_ON = (
    "a and are as at but can for hi hello i id im is it its just my no not ok okay or please pls respectively right "
    "same sir so sorry thank thanks that thats the then this to was well with yes you"
)
_GOES_ON = frozenset(_GOING_ON.split())
"""Words that may follow a number which stands for itself; behind others it counts or names what they say."""


def beside(text: str, at: int, *, behind: bool) -> list[str]:
    """Return the words of the sentence beside a place, nearest first."""
    near = text[at : at + _REACH] if behind else text[max(0, at - _REACH) : at]
    said = _WORD.findall(near.casefold())
    if not behind:
        said.reverse()
    words: list[str] = []
    for number, word in enumerate(said[: 2 * _MOST_WORDS]):
        if word not in _ENDS:
            words.append(word)
        elif behind or word != "." or said[number + 1 : number + 2] == [] or said[number + 1] not in _ABBREVIATED:
            break
    return words[:_MOST_WORDS]


def meaning(words: Iterable[str]) -> str | None:
    """Return what the nearest word that says anything says a number is; None where none does."""
    return next((_MEANINGS[word] for word in words if word in _MEANINGS), None)


def named(before: Iterable[str]) -> bool:
    """Tell whether the word before a number says it is an order's or the like: `order number is …`."""
    return next((_MEANINGS.get(word) == "other" for word in before if word not in _FILLERS), False)


def explained(behind: Iterable[str]) -> str | None:
    """Return what a number is called behind it: `4821 is my SSN`; None where it is not."""
    called = next((_MEANINGS.get(word) for word in behind if word not in _FILLERS), None)
    return called if called in _PERSONAL else None


def is_paid(before: Sequence[str]) -> bool:
    """Tell whether a currency stands before a number."""
    return bool(before) and before[0] in _CURRENCIES


def is_unit(behind: Sequence[str]) -> bool:
    """Tell whether a number is counted or paid, by the words behind it."""
    return bool(behind) and behind[0] in _UNITS


def stands_alone(behind: Sequence[str]) -> bool:
    """Tell whether a number stands for itself, by the words behind it."""
    return not behind or behind[0] in _GOES_ON or behind[0] in _MEANINGS
