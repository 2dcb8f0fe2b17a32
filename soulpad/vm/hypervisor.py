"""The only module that speaks libvirt: one embedded QEMU driver in this process, no daemon.

``qemu:///embed?root=DIR`` keeps everything below DIR; events need a running event loop, which lives in a thread.
Suspending and resuming go past libvirt's own save images: RAM is a shared file that stays where it is
(``x-ignore-shared``), only the device state (about 0.5 MB) is migrated to and from a file.
Source: libvirt drvqemu.html "Embedded driver"; QEMU docs/devel/migration/main.rst, qapi/migration.json.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import libvirt
import libvirt_qemu

from soulpad.base.errors import CannotResume, SoulpadError

log = logging.getLogger("soulpad.vm")

StopReason = Literal["shut-down", "crashed"]

POLL_SECONDS = 0.01
AGENT_TIMEOUT_SECONDS = 5  # for one question to the guest agent; a guest may have it hang, or its program stopped
NETWORK_CARD = "net0"  # as libvirt calls a machine's first one
QEMU_CONF = """\
user = "{user}"
group = "{group}"
dynamic_ownership = 1
remember_owner = 0
security_driver = "none"
security_default_confined = 0
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
max_core = 0
"""


class MachineFailed(SoulpadError):
    """QEMU could not start or ended by itself."""

    exit_code = 52


class AgentSilent(Exception):
    """The guest agent did not do what it was asked: none runs in the guest, it hangs, it refused, QEMU has ended."""


class Hypervisor:
    """The embedded driver below ``root``; QEMU runs as ``user``."""

    def __init__(self, root: Path, user: str = "root", group: str = "root") -> None:
        configuration = root / "etc" / "qemu.conf"
        configuration.parent.mkdir(parents=True, exist_ok=True)
        configuration.write_text(QEMU_CONF.format(user=user, group=group))
        libvirt.registerErrorHandler(lambda _context, error: log.debug("libvirt: %s", error[2]), None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_events, name="libvirt-events", daemon=True).start()
        self._root = root
        self._connection = libvirt.open(f"qemu:///embed?root={root}")
        self._on_stop: Callable[[StopReason], None] | None = None
        self._disk_failed = threading.Event()
        self._connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_event, None)
        self._connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR, self._on_io_error, None)

    def warm_up(self) -> None:
        """Has QEMU's capabilities read in the background: seconds on a slow PC, spent while a person types."""
        threading.Thread(target=self.vmm_version, name="capabilities", daemon=True).start()

    def watch(self, on_stop: Callable[[StopReason], None] | None) -> None:
        """Has ``on_stop`` called (in the event thread) when the machine ends; None: no more."""
        self._on_stop = on_stop

    def start_paused(self, xml: str) -> RunningMachine:
        """Starts QEMU with its CPUs stopped.

        Raises MachineFailed with QEMU's own reason, for example the CPU features that this PC lacks.
        """
        try:
            domain = self._connection.createXML(xml, libvirt.VIR_DOMAIN_START_PAUSED)
        except libvirt.libvirtError as error:
            raise MachineFailed(
                f"the virtual machine did not start: {reason_of(str(error))}", "the session is kept as it was"
            ) from error
        return RunningMachine(domain, self._root / "log" / "qemu" / f"{domain.name()}.log")

    def vmm_version(self) -> str:
        """QEMU's version as ``MAJOR.MINOR.MICRO``."""
        number = self._connection.getVersion()
        return f"QEMU {number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"

    def disk_failed(self) -> bool:
        """Whether the machine stands still since the last call because a disk could not be read or written."""
        failed = self._disk_failed.is_set()
        self._disk_failed.clear()
        return failed

    def _on_io_error(self, _connection: Any, _domain: Any, path: str, _alias: str, action: int, _opaque: Any) -> None:
        log.warning("%s gives errors", path)
        if action == libvirt.VIR_DOMAIN_EVENT_IO_ERROR_PAUSE:
            self._disk_failed.set()

    def _on_event(self, _connection: Any, _domain: Any, event: int, detail: int, _opaque: Any) -> None:
        if event == libvirt.VIR_DOMAIN_EVENT_STOPPED and self._on_stop:
            self._on_stop("shut-down" if detail == libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN else "crashed")


class RunningMachine:
    """A started domain, paused or not."""

    def __init__(self, domain: Any, log_file: Path | None = None) -> None:
        self._domain = domain
        self._log_file = log_file  # what QEMU says before it ends, and nobody else knows
        self.resumed = False  # whether it goes on with a state of earlier, instead of from its reset vector

    def resume(self) -> None:
        """Lets the virtual CPUs run. Raises MachineFailed."""
        try:
            self._domain.resume()
        except libvirt.libvirtError as error:
            raise _lost(error) from error

    def pause(self) -> None:
        """Stops the virtual CPUs; block I/O under way is drained by QEMU before this returns. Raises MachineFailed."""
        try:
            self._domain.suspend()
        except libvirt.libvirtError as error:
            raise _lost(error) from error

    def save_device_state(self, path: Path) -> None:
        """Writes the device state to ``path``; RAM stays in its file. The machine must be paused."""
        self._ignore_shared_ram()
        self._monitor("migrate", uri=f"file:{path}")
        self._wait_for_migration("saving the device state")

    def load_device_state(self, path: Path) -> None:
        """Loads what save_device_state wrote into a machine started with ``incoming``."""
        self._ignore_shared_ram()
        self._monitor("migrate-incoming", uri=f"file:{path}")
        self._wait_for_migration("loading the device state")
        self.resumed = True

    def kill(self) -> None:
        """Ends QEMU at once; what its files hold stays."""
        try:
            self._domain.destroy()
        except libvirt.libvirtError as error:
            if error.get_error_code() not in (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN):
                raise

    def guest_clock(self) -> float:
        """The guest's clock, in seconds since 1970. Raises AgentSilent, at the latest after AGENT_TIMEOUT_SECONDS."""
        with self._agent() as domain:
            answer = domain.getTime()
        return float(answer["seconds"] + answer["nseconds"] / 1e9)

    def set_guest_clock(self, seconds: float) -> None:
        """Sets the guest's clock to seconds since 1970.

        Raises AgentSilent as ``guest_clock`` does, and also when the clock was set but not the guest's RTC: the agent
        calls hwclock for that, and not every guest has it.
        """
        whole = int(seconds)
        with self._agent() as domain:
            domain.setTime({"seconds": whole, "nseconds": int((seconds - whole) * 1e9)})

    def set_link(self, up: bool) -> None:
        """Pulls the guest's network cable out, or puts it back in."""
        self._monitor("set_link", name=NETWORK_CARD, up=up)

    @contextmanager
    def _agent(self) -> Iterator[Any]:
        try:
            self._domain.agentSetResponseTimeout(AGENT_TIMEOUT_SECONDS, 0)
            yield self._domain
        except libvirt.libvirtError as error:
            raise AgentSilent(reason_of(str(error))) from error

    def _ignore_shared_ram(self) -> None:
        capabilities = [{"capability": "x-ignore-shared", "state": True}]
        self._monitor("migrate-set-capabilities", capabilities=capabilities)

    def _wait_for_migration(self, what: str) -> None:
        while True:
            answer = self._monitor("query-migrate")
            match answer.get("status"):
                case "completed":
                    return
                case "failed" | "cancelled":
                    raise CannotResume(
                        f"{what} failed: {answer.get('error-desc', 'no reason given')}", "nothing was changed"
                    )
            time.sleep(POLL_SECONDS)

    def _monitor(self, command: str, **arguments: Any) -> dict[str, Any]:
        request = json.dumps({"execute": command, "arguments": arguments})
        try:
            answer = json.loads(libvirt_qemu.qemuMonitorCommand(self._domain, request, 0))
        except libvirt.libvirtError as error:
            reason = last_words(self._log_file) or reason_of(str(error))
            raise CannotResume(f"QEMU ended at {command}: {reason}", "nothing was changed") from error
        if "error" in answer:
            raise CannotResume(f"QEMU refused {command}: {answer['error']['desc']}", "nothing was changed")
        return dict(answer["return"])


def _lost(error: libvirt.libvirtError) -> MachineFailed:
    """QEMU does not answer any more: it has ended, or is about to."""
    return MachineFailed(
        f"the virtual machine does not answer: {reason_of(str(error))}",
        "its disk is kept as it is: at the next start you can choose how to go on",
    )


def last_words(log_file: Path | None) -> str:
    """QEMU's last complaint in its log, or an empty text."""
    try:
        lines = log_file.read_text(errors="replace").splitlines() if log_file else []
    except OSError:
        lines = []
    return (complaints_in(lines) or [""])[-1]


def reason_of(message: str) -> str:
    """The part of a libvirt error that a person can use: QEMU's complaints if there are any."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return "; ".join(complaints_in(lines)) or (lines[-1] if lines else "no reason given")


def complaints_in(lines: list[str]) -> list[str]:
    """What QEMU says in lines of its log that begin with its name."""
    return [line.split("qemu-system-x86_64:", 1)[1].strip() for line in lines if "qemu-system-x86_64:" in line]


def _run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
