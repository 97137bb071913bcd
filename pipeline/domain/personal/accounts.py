"""International bank account numbers (ISO 13616): a country's letters, two check digits, the country's length."""

import re
from collections.abc import Iterator

from pipeline.domain.personal.found import Found

_COUNTRIES = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
    "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
    "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
    "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
    "YE30"
)
_LENGTHS = {code[:2]: int(code[2:]) for code in _COUNTRIES.split()}
_BEGINNING = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}")
_REST = re.compile(r"(?:[ \u00a0-]?[A-Za-z0-9]){11,29}")


def ibans_in(text: str) -> Iterator[Found]:
    """Yield each account number whose length and check digits are right; a wrong one's digits are left to others."""
    for begun in _BEGINNING.finditer(text):
        length = _LENGTHS.get(begun[0][:2].upper())
        rest = _REST.match(text, begun.end()) if length else None
        if length is None or rest is None:
            continue
        places = [at for at in range(begun.end(), rest.end()) if text[at].isalnum()][: length - 4]
        end = places[-1] + 1
        compact = begun[0] + "".join(text[at] for at in places)
        if len(compact) == length and not text[end : end + 1].isalnum() and _checks(compact):
            yield Found("iban", begun.start(), end)


def _checks(compact: str) -> bool:
    """Tell whether the check digits are right (ISO 7064, modulo 97)."""
    return int("".join(str(int(sign, 36)) for sign in compact[4:] + compact[:4])) % 97 == 1
