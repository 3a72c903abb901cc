"""What tells a web page's request from that of a program."""

import ipaddress
import re

# A name or an address, and a port. Nothing else: no user, no second host, no space.
_HOST = re.compile(r"(?P<name>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE)

def only(values):
    """The value of a header that is given exactly once."""
    values = list(values or [])
    return values[0] if len(values) == 1 else None


def name_of(host):
    """The host without its port, in lower case; none if it is no plain host."""
    match = _HOST.fullmatch(host or "")
    return match.group("name").lower() if match else None


def is_loopback(name):
    """Whether a name can stand for nothing but this machine, so that nobody else can have it point here."""
    if not name:
        return False
    if name == "localhost" or name.endswith((".localhost", ".127.0.0.1")):
        # The latter is how the local cloud names what lies below its own address. Browsers do not accept such names.
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def is_page(values):
    """Whether a web page sent this. `values` gives the values of a header by its name.

    Browsers add these headers, and pages cannot take them away. `Sec-Fetch-Site: none` is an address that somebody has typed.
    `Sec-Fetch-Mode` says nothing: Node's own `fetch` sends it as well.
    """
    return any(values(name) for name in ("Origin", "Referer")) or any(site != "none" for site in values("Sec-Fetch-Site"))
