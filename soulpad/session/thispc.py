"""What this PC is: memory, virtualisation, and which of its disks is the stick."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from soulpad.base.errors import ProgramFailed, SoulpadError, StoreDamaged
from soulpad.base.run import run
from soulpad.base.units import MIB
from soulpad.session.processor import flags_of, virtualisation_of
from soulpad.store.stick import partition_name

LEAST_MEMORY_MIB = 900
HOST_DEVICE = Path("/run/soulpad/host-device")
PARCELS_MAP = "stick-parcels"


class TooLittleMemory(SoulpadError):
    """The host and the virtual machine do not fit."""

    exit_code = 53


@dataclass(frozen=True)
class ThisPc:
    """``memory_mib``: what the kernel can use. ``kvm``: whether the processor's virtualisation works.
    ``virtualisation_flag``: vmx or svm, also when the firmware has it switched off; None when the processor has none.
    ``flags``: of the processor, as in /proc/cpuinfo."""

    memory_mib: int
    kvm: bool
    virtualisation_flag: str | None
    flags: frozenset[str] = frozenset()


def this_pc() -> ThisPc:
    """Looks at the PC; loads KVM's module for its processor."""
    flags = flags_of(Path("/proc/cpuinfo").read_text())
    virtualisation = virtualisation_of(flags)
    return ThisPc(memory_mib(Path("/proc/meminfo").read_text()), load_kvm(virtualisation), virtualisation, flags)


def vt_hint(pc: ThisPc) -> str:
    """What helps a PC without working virtualisation: the name of the switch in its firmware, or another PC."""
    switches = {"vmx": "Intel Virtualization Technology (VT-x)", "svm": "SVM Mode (AMD-V)"}
    if switch := switches.get(pc.virtualisation_flag or ""):
        return f"Switch on '{switch}' in the PC's BIOS setup, or use another PC."
    return "Its processor has neither VT-x nor AMD-V: use another PC."


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
    if parcels := partition_on(disk, partition_name("parcels", stick_id)):
        return Stick(Path("/dev") / disk.name, parcels, stick_id)
    raise StoreDamaged(
        "This stick has no partition for parcels.", "Restore the stick from a backup, or make a new one."
    )


def store_of(stick: Stick, sysfs: Path = Path("/sys/class/block")) -> Path:
    """What the store is opened on: the map that waits for the stick when it is pulled out (hostos/keeper), or, if this
    kernel made none, the partition itself."""
    for name in sysfs.glob("dm-*/dm/name"):
        if name.read_text().strip() == PARCELS_MAP:
            return Path("/dev") / name.parent.parent.name
    return stick.parcels


def esp_of(stick: Stick, sysfs: Path = Path("/sys/class/block")) -> Path | None:
    """The stick's boot partition, as a path in /dev."""
    return partition_on((sysfs / stick.disk.name).resolve(), partition_name("esp", stick.stick_id))


def partition_on(disk: Path, name: str) -> Path | None:
    """The partition of that GPT name on a disk, given by its sysfs folder."""
    for entry in sorted(disk.iterdir()):
        if (entry / "partition").exists() and partition_name_of(entry) == name:
            return Path("/dev") / entry.name
    return None


def partition_name_of(entry: Path) -> str:
    """The GPT name of a partition from its sysfs folder, or an empty text."""
    lines = (entry / "uevent").read_text().splitlines()
    return next((line.split("=", 1)[1] for line in lines if line.startswith("PARTNAME=")), "")
