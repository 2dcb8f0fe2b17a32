"""Whether a guest really runs on this machine's KVM, and faster than without: boots one, of nine bytes.

The presence of ``/dev/kvm`` proves nothing: inside another virtual machine it may open, and run a guest thirty times
slower than plain emulation does. So the same guest boots both ways and the times are compared.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from soulpad.base.errors import MissingProgram
from soulpad.base.run import start

# mov al, 0x10; out 0xf4, al; hlt; jmp back to hlt. QEMU's isa-debug-exit then ends with (0x10 << 1) | 1.
CODE = bytes.fromhex("b010 e6f4 f4 ebfd")
GUEST_SAID_HELLO = 0x21
TIMEOUT_SECONDS = 20.0


def boot_sector() -> bytes:
    """The guest: a boot sector."""
    return CODE.ljust(510, b"\0") + b"\x55\xaa"


def probe_argv(sector: Path, accelerator: str) -> list[str]:
    """A PC that boots the sector and leaves by its exit port."""
    return [
        "qemu-system-x86_64",
        *("-machine", f"pc,accel={accelerator}", "-cpu", "qemu64", "-m", "16"),
        *("-drive", f"file={sector},format=raw,if=floppy,readonly=on", "-boot", "a"),
        *("-device", "isa-debug-exit,iobase=0xf4,iosize=1"),
        *("-nodefaults", "-display", "none", "-no-reboot"),
    ]


def why_kvm_fails() -> str:
    """Why KVM is of no use here, or nothing. Takes up to two times TIMEOUT_SECONDS."""
    try:
        emulated = boot_seconds("tcg")
        if emulated is None:
            return "QEMU does not even emulate a guest here"
        with_kvm = boot_seconds("kvm")
    except MissingProgram as error:
        return error.message
    return verdict(emulated, with_kvm)


def verdict(emulated_seconds: float, kvm_seconds: float | None) -> str:
    """What the two times to boot say against KVM; None: it did not boot."""
    if kvm_seconds is None:
        return "no guest runs on /dev/kvm"
    if kvm_seconds > 2 * emulated_seconds + 1:
        return f"a guest on /dev/kvm took {kvm_seconds:.1f} s, emulated {emulated_seconds:.1f} s"
    return ""


def boot_seconds(accelerator: str) -> float | None:
    """How long the guest took from QEMU's start to its last instruction; None when it did not get there."""
    with tempfile.TemporaryDirectory(prefix="soulpad-probe-") as folder:
        sector = Path(folder, "boot.img")
        sector.write_bytes(boot_sector())
        started = time.monotonic()
        process = start(probe_argv(sector, accelerator))
        try:
            while process.poll() is None and time.monotonic() - started < TIMEOUT_SECONDS:
                time.sleep(0.02)
        finally:
            process.kill()
            code = process.wait()
        return time.monotonic() - started if code == GUEST_SAID_HELLO else None
