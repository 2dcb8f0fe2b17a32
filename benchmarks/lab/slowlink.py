"""A computer of its own, as a network namespace, with two links to this one: a slow one and a local one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from soulpad.base.errors import ProgramFailed
from soulpad.base.run import run

LOCAL_BITS_PER_SECOND = 100_000_000


@dataclass(frozen=True)
class Link:
    """A way of so many bits a second, each way, and what it adds to a round trip."""

    bits_per_second: int
    delay_milliseconds: int = 0

    @property
    def name(self) -> str:
        return f"{self.bits_per_second / 1e6:g} Mb/s"


# ISR's four (section 6.3)
LINKS = (Link(100_000_000), Link(10_000_000), Link(1_000_000, 10), Link(100_000, 100))


@dataclass(frozen=True)
class FarComputer:
    """``namespace``: what runs in it sees this computer at ``slow_address`` and at ``local_address``."""

    namespace: str
    device: str
    slow_address: str
    local_address: str

    def set_link(self, link: Link) -> bool:
        """The slow link becomes this one; False: without its delay, for which this kernel lacks netem."""
        for argv in limiting(self.namespace, self.device, link):
            run(argv)
        try:
            if link.delay_milliseconds:
                run(delaying(self.device, link))
        except ProgramFailed:
            return False
        return True


@contextmanager
def far_computer() -> Iterator[FarComputer]:
    """One, until the block ends."""
    number = os.getpid() % 100_000
    namespace, slow, local = f"soulpad-{number}", f"sps{number}", f"spl{number}"
    # RFC 2544: networks for benchmarks
    computer = FarComputer(namespace, slow, "198.18.1.1", "198.18.2.1")
    try:
        run(["ip", "netns", "add", namespace])
        run(["ip", "-n", namespace, "link", "set", "lo", "up"])
        for device, address in ((slow, computer.slow_address), (local, computer.local_address)):
            for argv in linking(namespace, device, address):
                run(argv)
        for argv in limiting(namespace, local, Link(LOCAL_BITS_PER_SECOND)):
            run(argv)
        yield computer
    finally:
        with suppress(ProgramFailed):
            run(["ip", "netns", "del", namespace])
        for device in (slow, local):
            with suppress(ProgramFailed):  # mostly gone with the namespace
                run(["ip", "link", "del", device])


def linking(namespace: str, device: str, address: str) -> list[list[str]]:
    """The commands that make a link: here ``device`` with ``address``, there ``far`` with the next one."""
    network, _, last = address.rpartition(".")
    far = f"{device}f"
    return [
        ["ip", "link", "add", device, "type", "veth", "peer", "name", far, "netns", namespace],
        ["ip", "address", "add", f"{address}/30", "dev", device],
        ["ip", "link", "set", device, "up"],
        ["ip", "-n", namespace, "address", "add", f"{network}.{int(last) + 1}/30", "dev", far],
        ["ip", "-n", namespace, "link", "set", far, "up"],
    ]


def limiting(namespace: str, device: str, link: Link) -> list[list[str]]:
    """The commands that limit both ends of a link."""
    rate = ["root", "handle", "1:", "tbf", "rate", f"{link.bits_per_second}bit", "burst", "16kb", "latency", "1s"]
    return [
        ["tc", "qdisc", "replace", "dev", device, *rate],
        ["tc", "-n", namespace, "qdisc", "replace", "dev", f"{device}f", *rate],
    ]


def delaying(device: str, link: Link) -> list[str]:
    """The command that delays what leaves this end, which was limited before."""
    delay = ["netem", "delay", f"{link.delay_milliseconds}ms", "limit", "10000"]
    return ["tc", "qdisc", "replace", "dev", device, "parent", "1:1", "handle", "10:", *delay]
