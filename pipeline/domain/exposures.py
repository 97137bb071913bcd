"""What a neighbour on the network could use of a server's address."""

import ipaddress
from typing import NamedTuple


class Exposure(NamedTuple):
    """One thing; in words that quote nothing of the address."""

    seen: str
    mend: str


def is_here(host: str) -> bool:
    """Tell whether a host is this machine, by its name or number alone; a path is that of a socket."""
    try:
        return host == "localhost" or host.startswith(("/", "@")) or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
