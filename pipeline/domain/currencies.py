"""Currencies in running text, by their ISO codes, their signs and their names.

Rules can only offer: where a sign is of several currencies (`¥`, `kr`, `Rs`) all are named, the likeliest first. A bare
`$` is the US dollar's, unless a code or a name beside the figures says whose dollars they are.
"""

import re
from typing import TypeAlias

CODES = frozenset(
    (  # noqa: SIM905 — a list of quoted words would be four times as long
        "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF "
        "CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD "
        "HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD "
        "MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN "
        "PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY "
        "TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG"
    ).split()
)
"""The ISO 4217 codes of currencies in use."""
WORDS = frozenset(("ALL", "COP", "CUP", "GEL", "MAD", "MOP", "PEN", "SOS", "TOP", "TRY"))
"""Codes that are ordinary words when those are written large."""
LOOSE = frozenset(("AUD", "CAD", "CHF", "CZK", "DKK", "EUR", "GBP", "INR", "JPY", "NOK", "PLN", "SEK", "USD"))
"""Codes that are taken in small letters too: no others are so common, and no words."""
_LOOSE_WORDS = frozenset(("CAD", "NOK", "SEK"))  # computer-aided design; enough; seconds
LAKHS = frozenset(("BDT", "INR", "LKR", "NPR", "PKR"))
"""Currencies whose figures are grouped 1,00,000."""
DOLLARS = frozenset(
    (  # noqa: SIM905 — as above
        "ARS AUD BBD BMD BND BSD BZD CAD CLP COP DOP FJD GYD HKD JMD KYD LRD MXN NAD NZD SBD SGD SRD TTD TWD USD UYU "
        "XCD"
    ).split()
)
"""Currencies whose sign is `$`, dollars and pesos."""
_SIGNS = {
    sign: tuple(codes.split())
    for signs, codes in (
        ("$ US$", "USD"),
        ("CA$ C$", "CAD"),
        ("AU$ A$", "AUD"),
        ("NZ$", "NZD"),
        ("HK$", "HKD"),
        ("SG$ S$", "SGD"),
        ("NT$", "TWD"),
        ("MX$", "MXN"),
        ("R$", "BRL"),
        ("€", "EUR"),
        ("£", "GBP"),
        ("¥ ￥", "JPY CNY"),
        ("JP¥ 円", "JPY"),
        ("CN¥ 元", "CNY"),
        ("₩ 원", "KRW"),
        ("₹", "INR"),
        ("Rs Rs.", "INR PKR"),
        ("kr kr. Kr", "SEK NOK DKK"),
        ("zł", "PLN"),
        ("Kč", "CZK"),
        ("Ft", "HUF"),
        ("Fr. SFr.", "CHF"),
        ("₽", "RUB"),
        ("₺", "TRY"),
        ("₴", "UAH"),
        ("₫", "VND"),
        ("฿", "THB"),
        ("₪", "ILS"),
        ("₱", "PHP"),
        ("₦", "NGN"),
    )
    for sign in signs.split()
}
_NAMES = (
    (r"euros?", ("EUR",)),
    (r"(?:us |american )?dollars?", ("USD",)),
    (r"canadian dollars?", ("CAD",)),
    (r"australian dollars?", ("AUD",)),
    (r"new zealand dollars?", ("NZD",)),
    (r"hong kong dollars?", ("HKD",)),
    (r"singapore dollars?", ("SGD",)),
    (r"pounds?(?: sterling)?", ("GBP",)),
    (r"swiss francs?|(?:schweizer )?franken", ("CHF",)),
    (r"yen", ("JPY",)),
    (r"yuan|renminbi", ("CNY",)),
    (r"(?:indian )?rupees?", ("INR", "PKR")),
    (r"zlotys?|złot(?:y|e|ych)", ("PLN",)),
    (r"kronor", ("SEK",)),
    (r"kroner", ("NOK", "DKK")),
    (r"reais", ("BRL",)),
)
_CODE = "|".join(sorted(CODES))
_LOOSE = "|".join(sorted(LOOSE))
_SIGN = "|".join(sorted(map(re.escape, _SIGNS), key=len, reverse=True))
_NAME = "|".join(f"(?P<n{number}>{name})" for number, (name, _) in enumerate(_NAMES))
MARK = re.compile(
    rf"(?<![A-Za-z])(?:(?P<code>{_CODE}|(?ai:{_LOOSE}))(?: ?[$€£¥])?(?![A-Za-z])|"
    rf"(?P<sign>{_SIGN})(?![A-Za-z])|(?i:{_NAME})(?!\w))"
)
"""Whatever names a currency."""
Mark: TypeAlias = re.Match[str]


def is_name(mark: Mark) -> bool:
    """Tell whether a mark is a currency's name, which stands behind figures only."""
    return mark["code"] is None and mark["sign"] is None


def is_word(mark: Mark, *, before: bool) -> bool:
    """Tell whether a mark is an ordinary word as well, and names a currency only beside figures as money has them."""
    code = mark["code"]
    if code is None:
        return False
    return (before and code in WORDS) or (not code.isupper() and code.upper() in _LOOSE_WORDS)


def currencies(mark: Mark) -> tuple[str, ...]:
    """Return the codes of the currencies that a mark may mean, the likeliest first."""
    if mark["code"] is not None:
        return (mark["code"].upper(),)
    if mark["sign"] is not None:
        return _SIGNS[mark["sign"]]
    return next(codes for number, (_, codes) in enumerate(_NAMES) if mark[f"n{number}"] is not None)
