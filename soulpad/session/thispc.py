"""What this PC is: memory, virtualisation, and which of its disks is the stick."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from soulpad.base.errors import ProgramFailed, SoulpadError, StoreDamaged
from soulpad.base.run import run
from soulpad.base.units import MIB

LEAST_MEMORY_MIB = 900
HOST_DEVICE = Path("/run/soulpad/host-device")


class TooLittleMemory(SoulpadError):
    """The host and the virtual machine do not fit."""

    exit_code = 53


@dataclass(frozen=True)
class ThisPc:
    """``memory_mib``: what the kernel can use. ``kvm``: whether the processor's virtualisation works."""

    memory_mib: int
    kvm: bool
    virtualisation_flag: str | None


def this_pc() -> ThisPc:
    """Looks at the PC; loads KVM's module for its processor."""
    flags = Path("/proc/cpuinfo").read_text()
    flag = "vmx" if " vmx" in flags else "svm" if " svm" in flags else None
    return ThisPc(memory_mib(Path("/proc/meminfo").read_text()), load_kvm(flag), flag)


def memory_facts() -> dict[str, int]:
    """MiB of memory that this PC has, and that are available now (proc_meminfo(5))."""
    meminfo = Path("/proc/meminfo").read_text()
    return {"memory_mib": memory_mib(meminfo), "available_mib": memory_mib(meminfo, "MemAvailable")}


def memory_mib(meminfo: str, field: str = "MemTotal") -> int:
    """MiB of memory from the text of /proc/meminfo."""
    line = next(line for line in meminfo.splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024 // MIB


def load_kvm(flag: str | None) -> bool:
    """Whether /dev/kvm is there after loading the module for ``flag`` (vmx: Intel, svm: AMD)."""
    if flag is None:
        return False
    try:
        run(["modprobe", "kvm_intel" if flag == "vmx" else "kvm_amd"])
    except ProgramFailed:
        return False  # the firmware has it switched off: the module refuses
    return Path("/dev/kvm").exists()


def require_memory(pc: ThisPc) -> ThisPc:
    """Raises TooLittleMemory when not even a small session can run."""
    if pc.memory_mib < LEAST_MEMORY_MIB:
        raise TooLittleMemory(
            f"This PC has {pc.memory_mib} MB of memory; SoulPad needs at least {LEAST_MEMORY_MIB} MB.",
            "Use a PC with 1 GB or more. Nothing on the stick was changed.",
        )
    return pc


@dataclass(frozen=True)
class Stick:
    """The stick that the host runs from: its disk and its parcels partition, as paths in /dev, and its id."""

    disk: Path
    parcels: Path
    stick_id: str


def this_stick(sysfs: Path = Path("/sys/class/block")) -> Stick:
    """Finds the parcels partition beside the host's own; raises StoreDamaged when it is not there."""
    host = HOST_DEVICE.read_text().strip()
    stick_id = partition_name_of(sysfs / host).rsplit("-", 1)[-1]
    disk = (sysfs / host).resolve().parent
    for entry in sorted(disk.iterdir()):
        if (entry / "partition").exists() and partition_name_of(entry) == f"soulpad-parcels-{stick_id}":
            return Stick(Path("/dev") / disk.name, Path("/dev") / entry.name, stick_id)
    raise StoreDamaged(
        "This stick has no partition for parcels.", "Restore the stick from a backup, or make a new one."
    )


def partition_name_of(entry: Path) -> str:
    """The GPT name of a partition from its sysfs folder, or an empty text."""
    lines = (entry / "uevent").read_text().splitlines()
    return next((line.split("=", 1)[1] for line in lines if line.startswith("PARTNAME=")), "")
