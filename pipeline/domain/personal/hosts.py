"""Internet addresses of machines, which lead to the people who use them."""

import ipaddress
import re
from collections.abc import Iterator

from pipeline.domain.personal.found import Found

# Hexadecimal letters alone are a word: two colons or three points make it an address, and the standard library checks.
_ADDRESS = re.compile(r"(?<![\w:.])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F]{0,4}(?::[0-9a-fA-F.]{0,15}){2,8})(?![\w:])")


def ips_in(text: str) -> Iterator[Found]:
    """Yield each IPv4 and IPv6 address."""
    for match in _ADDRESS.finditer(text):
        end = match.end() - (match[0].endswith("."))  # the sentence's full stop
        try:
            ipaddress.ip_address(text[match.start() : end])
        except ValueError:
            continue
        if any(sign.isdigit() for sign in match[0]):  # "::" alone is the address of nobody
            yield Found("ip", match.start(), end)
