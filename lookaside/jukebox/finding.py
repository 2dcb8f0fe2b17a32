"""How jukeboxes are found on the local network: DNS-SD over multicast DNS (RFC 6762, 6763), by python-zeroconf.

Nothing depends on it: a jukebox can be named by its address as well, and who finds none goes on without.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import ifaddr
from zeroconf import Error as ZeroconfError
from zeroconf import ServiceBrowser, ServiceInfo, ServiceListener, Zeroconf

from lookaside.jukebox.protocol import FORMAT

SERVICE = "_soulpad-jukebox._tcp.local."
FIND_SECONDS = 1.5
MOST_FOUND = 32
LONGEST_NAME_BYTES = 40  # a DNS label has at most 63, and another computer's may have to be told from it

log = logging.getLogger("soulpad.jukebox")


@dataclass(frozen=True)
class Found:
    """A jukebox that announced itself. ``addresses``: IPv4 before IPv6, link-local ones with their interface."""

    name: str
    addresses: tuple[str, ...]
    port: int


@contextmanager
def announced(name: str, port: int) -> Iterator[None]:
    """While the block runs other computers find the jukebox. Where that is not possible it goes on without."""
    try:
        speaker = Zeroconf()
    except OSError as error:
        log.warning("the jukebox is not announced: %s", error)
        yield
        return
    try:
        try:
            speaker.register_service(service_info(name, port), allow_name_change=True)
        except (ZeroconfError, OSError) as error:
            log.warning("the jukebox is not announced: %s", error)
        yield
    finally:
        speaker.close()


def find(seconds: float = FIND_SECONDS) -> list[Found]:
    """The jukeboxes that announce themselves within so many seconds, by name. None where the network cannot do it."""
    try:
        speaker = Zeroconf()
    except OSError as error:
        log.warning("jukeboxes cannot be looked for: %s", error)
        return []
    try:
        listener = _Listener(seconds)
        ServiceBrowser(speaker, SERVICE, listener)
        time.sleep(seconds)
        return sorted(listener.found(), key=lambda found: found.name)
    finally:
        speaker.close()


def service_info(name: str, port: int) -> ServiceInfo:
    """What is announced: all addresses of this computer."""
    label = name.encode()[:LONGEST_NAME_BYTES].decode(errors="ignore").replace(".", "-")
    host = f"{socket.gethostname().split('.')[0]}.local."
    return ServiceInfo(
        SERVICE, f"{label}.{SERVICE}", port=port, properties={"format": FORMAT}, server=host, addresses=own_addresses()
    )


def own_addresses() -> list[bytes]:
    """This computer's addresses on its networks, packed, but for those that only itself can reach."""

    packed = []
    for adapter in ifaddr.get_adapters():
        for address in adapter.ips:
            text = address.ip if isinstance(address.ip, str) else address.ip[0]
            family = socket.AF_INET if isinstance(address.ip, str) else socket.AF_INET6
            packed.append(socket.inet_pton(family, text))
    routed = [one for one in packed if one[:1] != b"\x7f" and one != bytes(15) + b"\x01"]
    return routed or packed


class _Listener(ServiceListener):
    """Takes down what answers."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._found: dict[str, Found] = {}
        self._lock = Lock()

    def found(self) -> list[Found]:
        with self._lock:
            return list(self._found.values())

    def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        info = zc.get_service_info(type_, name, int(self._seconds * 1000))
        if info is None or not info.port:
            return
        addresses = tuple(sorted(info.parsed_scoped_addresses(), key=lambda text: ":" in text))
        with self._lock:
            if addresses and len(self._found) < MOST_FOUND:
                self._found[name] = Found(name.removesuffix(f".{SERVICE}"), addresses, info.port)

    def update_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        self.add_service(zc, type_, name)

    def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        with self._lock:
            self._found.pop(name, None)
