"""Whose network an address is of: what one client can have to itself counts as one."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

IPV6_HOME = 64


def home(address: str) -> str:
    """The address itself; of IPv6 the network around it, as a client there takes another address for each request."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or ip_network((found, IPV6_HOME), strict=False))
    return str(found)
