"""What a parcel is made from: a disk image that qemu-img reads, a guest recipe, or a parcel that is already suspended.

A suspended one is a folder with ``parcel.json`` and the files of one checkpoint (docs/formats/store.md), made on a
machine of the same kind of accelerator, so that the stick's very first boot resumes it.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from builder.guest.disk import build_guest
from builder.guest.recipe import read_guest_recipe
from soulpad.base.errors import BadInput, CannotResume, SoulpadError
from soulpad.base.progress import Progress
from soulpad.base.run import run
from soulpad.base.units import MIB, SECTOR_BYTES, parse_bytes
from soulpad.store.checkpoint import MANIFEST_NAME, CheckpointManifest, disk_name, expected_files, verified
from soulpad.store.cpuclass import ANY_PC, CpuClass, class_named
from soulpad.store.layout import PARCELS
from soulpad.store.parcel import Disk, Machine, ParcelDescription, check_name, random_mac_address
from soulpad.store.workingset import WORKING_SET_NAME

Content = Path | bytes
DEFAULT_MEMORY_MIB = 1024
LEAST_MEMORY_MIB = 64
SOUND_CARD = "ich9"  # libvirt's name for Intel's HD audio on this chipset: every desktop system has a driver
# Formats that qemu-img reads and people have; "raw" is also its answer for anything it does not know.
KNOWN_FORMATS = ("raw", "qcow2", "qed", "vmdk", "vdi", "vhdx", "vpc")
OPTIONS = ("memory", "cpus", "cpu-class")


@dataclass(frozen=True)
class ParcelRequest:
    """``NAME=GUEST[,memory=SIZE][,cpus=N][,cpu-class=CLASS]`` as given on the command line, and how long its
    sessions may idle."""

    name: str
    guest: Path
    memory_mib: int | None = None
    vcpus: int = 1
    cpu_class: CpuClass | None = None
    suspend_when_idle_minutes: int | None = None


@dataclass(frozen=True)
class ParcelContents:
    """A parcel ready to be put on a stick. ``files``: path below the parcel's folder -> content. ``accelerator`` and
    ``vmm``: what it was suspended on."""

    description: ParcelDescription
    files: dict[PurePosixPath, Content] = field(default_factory=dict)
    accelerator: str = "any"
    vmm: str | None = None

    def tree(self) -> dict[PurePosixPath, Content]:
        """Path in the store's file system -> content."""
        return {PARCELS / self.description.uuid / path: content for path, content in self.files.items()}


def parse_request(text: str) -> ParcelRequest:
    """Parses one ``--parcel``; raises BadInput."""
    match = re.fullmatch(r"([^=]+)=([^,]+)((?:,[^,=]+=[^,]+)*)", text)
    if not match:
        raise BadInput(f"{text!r} does not name a parcel", "write it as NAME=IMAGE, for example work=debian.qcow2")
    options = dict(pair.split("=", 1) for pair in match[3].split(",")[1:])
    if unknown := sorted(set(options) - set(OPTIONS)):
        raise BadInput(f"a parcel has no option {unknown[0]!r}", f"it has: {', '.join(OPTIONS)}")
    memory_mib = parse_bytes(options["memory"]) // MIB if "memory" in options else None
    if memory_mib is not None and memory_mib < LEAST_MEMORY_MIB:
        raise BadInput(f"{options['memory']} of memory is too little", f"give at least {LEAST_MEMORY_MIB}MiB")
    cpus = options.get("cpus", "1")
    if not re.fullmatch(r"[1-9]|1[0-6]", cpus):
        raise BadInput(f"{cpus[:20]!r} is no number of processors", "give 1 to 16")
    cpu_class = class_named(options["cpu-class"]) if "cpu-class" in options else None
    return ParcelRequest(check_name(match[1]), Path(match[2]), memory_mib, int(cpus), cpu_class)


def prepare(request: ParcelRequest, scratch: Path, progress: Progress) -> ParcelContents:
    """Makes the parcel's files ready; large ones stay where they are. Raises BadInput and CannotResume."""
    if not request.guest.exists():
        raise BadInput(f"there is no guest {request.guest}", "give a disk image, a guest recipe (.toml) or a folder")
    if request.guest.is_dir():
        return suspended_parcel(request)
    memory_mib = request.memory_mib or DEFAULT_MEMORY_MIB
    if request.guest.suffix == ".toml":
        recipe = read_guest_recipe(request.guest)
        disk = build_guest(request.guest, progress)
        memory_mib = request.memory_mib or recipe.memory_mib
    else:
        disk = raw_disk(request.guest, scratch / f"{request.name}.img", progress)
    return new_parcel(request, disk, memory_mib)


def new_parcel(request: ParcelRequest, disk: Path, memory_mib: int) -> ParcelContents:
    """A parcel that was never run: generation 0 is its disk alone."""
    size_bytes = disk.stat().st_size
    machine = Machine(
        memory_mib=memory_mib,
        disks=(Disk(disk_name(0), size_bytes),),
        vcpus=request.vcpus,
        cpu_model=(request.cpu_class or ANY_PC).model,
        sound=SOUND_CARD,
        mac_address=random_mac_address(),
    )
    manifest = CheckpointManifest(generation=0, parent=None, taken_at=int(time.time()), disk_bytes=(size_bytes,))
    description = ParcelDescription(request.name, machine, suspend_when_idle_minutes=request.suspend_when_idle_minutes)
    files = parcel_files(description, manifest, {disk_name(0): disk})
    return ParcelContents(description, files)


def suspended_parcel(request: ParcelRequest) -> ParcelContents:
    """A parcel from a folder with ``parcel.json`` and one checkpoint's files."""
    folder = request.guest
    try:
        description = ParcelDescription.decode((folder / "parcel.json").read_bytes())
        generation = CheckpointManifest.decode((folder / MANIFEST_NAME).read_bytes()).generation
        manifest = verified(folder, generation)
    except FileNotFoundError as error:
        raise BadInput(f"{folder} is no suspended parcel: {Path(error.filename).name} is missing") from None
    if manifest.suspended and manifest.suspended.machine != description.machine:
        raise CannotResume(f"{folder}: the checkpoint was taken of another machine", "give the folder as it was made")
    if request.cpu_class and request.cpu_class.model != description.machine.cpu_model:
        raise BadInput(
            f"{folder} was made on the CPU {description.machine.cpu_model}, which cannot be changed any more",
            "leave cpu-class away",
        )
    idle_minutes = request.suspend_when_idle_minutes or description.suspend_when_idle_minutes
    description = replace(description, name=request.name, suspend_when_idle_minutes=idle_minutes)
    names = [*expected_files(manifest), *([WORKING_SET_NAME] if (folder / WORKING_SET_NAME).is_file() else [])]
    files = parcel_files(description, manifest, {name: folder / name for name in names})
    if state := manifest.suspended:
        return ParcelContents(description, files, state.accelerator, state.vmm)
    return ParcelContents(description, files)


def parcel_files(
    description: ParcelDescription, manifest: CheckpointManifest, large: dict[str, Path]
) -> dict[PurePosixPath, Content]:
    """Path below the parcel's folder -> content."""
    checkpoint = PurePosixPath("checkpoints") / str(manifest.generation)
    return {
        PurePosixPath("parcel.json"): description.encode(),
        checkpoint / MANIFEST_NAME: manifest.encode(),
        **{checkpoint / name: path for name, path in large.items()},
        PurePosixPath("current"): f"{manifest.generation}\n".encode(),
    }


def raw_disk(source: Path, target: Path, progress: Progress) -> Path:
    """``source`` itself when it is raw, or a sparse raw copy at ``target``; raises BadInput for other files."""
    kind = disk_format(source)
    if kind == "raw":
        return require_disk(source)
    progress.step(f"Converting {source.name} from {kind}")
    try:
        run(["qemu-img", "convert", "-f", kind, "-O", "raw", source, target])
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return require_disk(target)


def disk_format(source: Path) -> str:
    """What qemu-img takes the file for; raises BadInput."""
    try:
        kind = str(json.loads(run(["qemu-img", "info", "--output=json", source]).stdout)["format"])
    except SoulpadError as error:
        raise BadInput(f"{source} cannot be read as a disk image: {error.message}", "is the file whole?") from None
    if kind not in KNOWN_FORMATS:
        raise BadInput(f"{source} is of format {kind!r}", f"give one of: {', '.join(KNOWN_FORMATS)}")
    return kind


def require_disk(image: Path) -> Path:
    """A raw file that a BIOS could boot from: whole sectors and a boot signature; otherwise BadInput."""
    with image.open("rb") as file:
        start = file.read(SECTOR_BYTES)
    if image.stat().st_size % SECTOR_BYTES or start[510:512] != b"\x55\xaa":
        raise BadInput(
            f"{image} is not a disk image that could boot: it has no partition table",
            f"give a raw image of a whole disk, or one of: {', '.join(KNOWN_FORMATS[1:])}",
        )
    return image
