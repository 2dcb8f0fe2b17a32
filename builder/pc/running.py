"""An emulated PC that is switched on: one presses its keys, looks at its screen, reads its logs, cuts its power.

    with power_on(find_profile("old-desktop"), Path("stick.img"), workdir) as pc:
        pc.wait_for_serial("passphrase", timeout_seconds=300)
        pc.type_text("...\\n")
        pc.press_power_button()
        pc.wait_for_power_off(timeout_seconds=300)

Whatever ends the block, an error and Ctrl-C included, the PC is off afterwards and nothing of it runs on.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from builder.pc import keyboard, screen
from builder.pc.emulator import emulator_for
from builder.pc.machine import (
    STICK,
    MachineFiles,
    MachineOptions,
    UsbDisk,
    hot_plug_device,
    qemu_arguments,
    usb_disk_id,
)
from builder.pc.monitor import Monitor, QemuGone
from builder.pc.profile import PcProfile
from builder.pc.qemu_process import end_process, explained, last_complaint, start_qemu
from builder.pc.room import Room, furnish
from builder.pc.serial_log import SerialLog
from builder.pc.statistics import BlockStatistics, parse_statistics
from soulpad.base.errors import EmulatedPcFailed
from soulpad.base.run import Process

KEY_HOLD_SECONDS = 0.06
KEY_GAP_SECONDS = 0.08  # a USB keyboard keeps 16 events and silently drops more: a slow PC must keep up
POLL_SECONDS = 0.1
TAIL_LINES = 12
DEFAULT_OPTIONS = MachineOptions()
PANIC = re.compile(r"Kernel panic - not syncing.*")

Found = TypeVar("Found")


class WaitedInVain(EmulatedPcFailed):
    """What was waited for did not come. The hint holds the end of the log; ``str()`` gives all of it."""

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}"


class GuestPanicked(WaitedInVain):
    """The PC's kernel panicked, or the kernel of the guest in it. QEMU's multi-threaded emulation makes Linux
    panic once in a long while: a caller may start again, but must say that it did."""


class RunningPc:
    """A PC between power on and power off; ``power_on`` makes them."""

    def __init__(self, profile: PcProfile, room: Room, files: MachineFiles, process: Process, monitor: Monitor) -> None:
        self.profile = profile
        self.room = room
        self.files = files
        self.powered_off = False  # by itself, as opposed to a power cut
        self._process = process
        self._monitor = monitor
        self._power_on_at = time.monotonic()
        self._logs = [SerialLog(path) for path in files.serial_logs]
        self._statistics: dict[str, BlockStatistics] = {}

    def seconds(self) -> float:
        """Seconds since power on."""
        return time.monotonic() - self._power_on_at

    def clock(self) -> float:
        """What the PC's own clock shows, in seconds since 1970."""
        return time.time() + self.profile.clock_ahead_hours * 3600

    # What a person does

    def press_power_button(self) -> None:
        """Presses the power button, shortly."""
        self._monitor.execute("system_powerdown")

    def press(self, *keys: str) -> None:
        """Presses keys together and lets them go: ``press("ret")``, ``press("ctrl", "alt", "f2")``.
        The names are QEMU's key codes, as in ``builder.pc.keyboard``."""
        self._monitor.execute(
            "send-key",
            keys=[{"type": "qcode", "data": key} for key in keys],
            **{"hold-time": round(KEY_HOLD_SECONDS * 1000)},
        )
        time.sleep(2 * len(keys) * KEY_HOLD_SECONDS + KEY_GAP_SECONDS)

    def type_text(self, text: str) -> None:
        """Types at the PC's keyboard, which has the US layout; a line break is the Enter key. Raises BadInput."""
        for chord in keyboard.chords_for(text):
            self.press(*chord)

    def screenshot(self, path: Path) -> Path:
        """Writes what the screen shows as a PNG file; returns ``path``."""
        raw = path.with_name(f".{path.name}.ppm")
        staged = path.with_name(f".{path.name}.partial")
        try:
            self._monitor.execute("screendump", filename=str(raw.absolute()))
            staged.write_bytes(screen.encode_png(screen.parse_ppm(raw.read_bytes())))
            return staged.replace(path)
        finally:
            raw.unlink(missing_ok=True)
            staged.unlink(missing_ok=True)

    def plug_in(self, disk: UsbDisk, name: str) -> None:
        """Plugs one more USB disk in while the PC runs; ``name`` is for ``pull_out`` and the statistics."""
        file = {"driver": "file", "filename": str(disk.path.absolute())}
        cache = {"no-flush": not disk.durable}
        self._monitor.execute(
            "blockdev-add", **{"driver": disk.image_format, "node-name": name, "file": file, "cache": cache}
        )
        self._monitor.execute("device_add", **hot_plug_device(disk, name))

    def pull_out(self, name: str = STICK) -> None:
        """Pulls a USB disk out as a careless person does: without telling the PC."""
        self._keep_statistics()
        self._monitor.execute("device_del", id=usb_disk_id(name))

    def reset(self) -> None:
        """Presses the reset button."""
        self._monitor.execute("system_reset")

    def kill(self) -> None:
        """Cuts the power."""
        self._keep_statistics()
        end_process(self._process)

    # What can be seen of it

    def is_on(self) -> bool:
        """Whether the PC runs: it has neither switched itself off nor lost its power."""
        if self._process.poll() is None and not self.powered_off:
            try:
                self.powered_off = self._monitor.execute("query-status")["status"] == "shutdown"
            except QemuGone:
                end_process(self._process)  # it hangs up before it ends
        return self._process.poll() is None and not self.powered_off

    def serial(self, port: int = 0) -> str:
        """What came out of a serial port since power on, without terminal control sequences."""
        return self._logs[port].text()

    def block_statistics(self, disk: str = STICK) -> BlockStatistics:
        """What was read from and written to a disk; its last figures when it or the PC is gone.
        Raises KeyError for a disk that was never there."""
        if self._process.poll() is None:
            self._statistics |= parse_statistics(self._monitor.execute("query-blockstats"))
        return self._statistics[disk]

    # Waiting

    def wait_for_serial(self, pattern: str, timeout_seconds: float, port: int = 0, since: int = 0) -> re.Match[str]:
        """The first match of the regular expression in a serial port's text from position ``since`` on.
        Raises WaitedInVain when the time runs out or the PC goes off, GuestPanicked when its kernel panics."""
        expression = re.compile(pattern, re.MULTILINE)
        what = f"{pattern!r} on serial port {port}"
        return self._wait(lambda: expression.search(self.serial(port), since), what, timeout_seconds)

    def wait_for_power_off(self, timeout_seconds: float) -> None:
        """Waits until the PC has switched itself off, and closes its disks. Raises as ``wait_for_serial`` does."""
        self._wait(lambda: not self.is_on() and self.powered_off, "power off", timeout_seconds)
        self._keep_statistics()
        with suppress(EmulatedPcFailed):  # it may be quicker than its answer
            self._monitor.execute("quit")
        self._process.wait()

    def _wait(self, condition: Callable[[], Found | None], what: str, timeout_seconds: float) -> Found:
        deadline = time.monotonic() + timeout_seconds
        while True:
            on = self.is_on()  # asked first: what a PC says last is read after it went off
            found = condition()
            if found:
                return found
            panic = next(filter(None, (PANIC.search(log.text()) for log in self._logs)), None)
            if panic:
                raise self._in_vain(GuestPanicked, f"panicked: {panic[0]}")
            if not on:
                raise self._in_vain(WaitedInVain, f"went off without {what}")
            if time.monotonic() > deadline:
                raise self._in_vain(WaitedInVain, f"did not show {what} within {timeout_seconds:g} seconds")
            time.sleep(POLL_SECONDS)

    def _in_vain(self, kind: type[WaitedInVain], what: str) -> WaitedInVain:
        picture = self.room.failure(self.seconds())
        seen = ""
        with suppress(EmulatedPcFailed):
            seen = f"its screen is in {self.screenshot(picture)}; "
        tails = "\n".join(f"{log.path}:\n{log.tail(TAIL_LINES)}" for log in self._logs)
        complaint = last_complaint(self.room.qemu_log)
        message = f"the PC {self.profile.name} {what} (after {self.seconds():.0f} seconds)"
        return kind(message, f"{seen}the end of its logs:\n{tails}{complaint and chr(10)}{complaint}")

    def _keep_statistics(self) -> None:
        with suppress(EmulatedPcFailed, KeyError):  # QEMU may end first; the stick may have been pulled out
            self.block_statistics()


@contextmanager
def power_on(
    profile: PcProfile,
    stick: Path | UsbDisk,
    workdir: Path,
    *,
    options: MachineOptions = DEFAULT_OPTIONS,
    more_usb_disks: Iterable[UsbDisk] = (),
) -> Iterator[RunningPc]:
    """Plugs in the stick and switches the PC on. ``workdir`` is the PC's folder (builder.pc.room): started there
    again it is the same PC. The stick is written as a real one would be.

    Raises EmulatedPcFailed when QEMU does not start, MissingProgram, ProgramFailed, NoSpace.
    """
    room = Room(workdir)
    stick = stick if isinstance(stick, UsbDisk) else UsbDisk(stick)
    with ExitStack() as stack:
        # not where TMPDIR says: a socket's path has at most 107 bytes
        sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soulpad-pc-", dir="/tmp")))
        files = furnish(room, profile, stick, more_usb_disks, sockets)
        argv = qemu_arguments(profile, files, with_clock(options, profile))
        process = start_qemu(emulator_for(options.window), argv, room.qemu_log)
        stack.callback(end_process, process)
        monitor = Monitor()
        stack.callback(monitor.close)
        pc = RunningPc(profile, room, files, process, monitor)
        try:
            monitor.connect(files.qmp_socket, lambda: process.poll() is None)
        except EmulatedPcFailed as error:
            raise explained(error, last_complaint(room.qemu_log)) from None
        yield pc


def with_clock(options: MachineOptions, profile: PcProfile) -> MachineOptions:
    """The options with the wrong time that the profile's clock shows now, if it is a wrong one."""
    if options.clock or not profile.clock_ahead_hours:
        return options
    return replace(options, clock=datetime.now(UTC) + timedelta(hours=profile.clock_ahead_hours))
