"""What a network address is counted as, when attempts are."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address


def network(address: str) -> str:
    """An IPv4 address is itself; an IPv6 one its /64, all of which one household has to choose from.

    What is no address comes back as it is.
    """
    found = _parsed(address)
    if isinstance(found, IPv6Address):
        return str(IPv6Network((int(found), 64), strict=False))
    return address if found is None else str(found)


def is_loopback(address: str) -> bool:
    """Whether it is this machine's own."""
    found = _parsed(address)
    return found is not None and found.is_loopback


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(address)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
