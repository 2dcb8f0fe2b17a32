"""The flow: host image + parcels + secrets -> a personal stick image, sparse, made with no root and no mount.

The image is made beside its name and renamed when whole: before that there is no image, after it there is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from secrets import token_hex

from builder.debian.toolbox import Toolbox, toolbox
from builder.disk import bootsector, grubconfig, partitions
from builder.disk.esp import write_esp
from builder.disk.partitions import Layout
from builder.guest.parcels import Content, ParcelContents, ParcelRequest, prepare
from builder.host.image import HostImage, build_host
from builder.places import DOCS
from builder.store.luks import LuksSpec
from builder.store.storeimage import write_store
from builder.store.xfs import least_size_bytes
from soulpad.base.errors import BadInput, NoSpace
from soulpad.base.progress import Progress
from soulpad.base.secrets import Secret, generate_key
from soulpad.base.units import MIB, format_bytes
from soulpad.store.stick import (
    BOOT_MARK_BYTES,
    ESP_LABEL,
    PAYLOAD_OFFSET_BYTES,
    ParcelRequirement,
    StickDescription,
    partition_name,
)

COPY_BYTES = 4 * MIB
RECOVERY_NAME = "RECOVERY.md"  # on the ESP, which every PC shows: for whoever has nothing but the stick


@dataclass(frozen=True)
class StickSpec:
    """What the user wants. ``kernel_arguments``: added to ours, for laboratories and odd PCs."""

    total_bytes: int
    parcels: tuple[ParcelRequest, ...]
    host_recipe: Path
    keyboard: str = "us"
    luks: LuksSpec = field(default_factory=LuksSpec)
    kernel_arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class CreatedStick:
    """What was made. ``allocated_bytes``: what the sparse image takes on this disk."""

    image: Path
    stick_id: str
    total_bytes: int
    allocated_bytes: int
    host_version: str
    host_bytes: int
    key_file: Path | None


def create_stick(
    out: Path, spec: StickSpec, passphrase: Secret, key_file_folder: Path | None, progress: Progress
) -> CreatedStick:
    """Makes the image ``out``. Raises BadInput, DeviceTooSmall, NoSpace and what building raises; leaves no litter."""
    require_target(out)
    tools = toolbox(progress)
    host = build_host(spec.host_recipe, progress)
    stick_id = token_hex(4)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.")))
        contents = [prepare(request, scratch, progress) for request in spec.parcels]
        layout = plan_layout(spec, host, contents, stick_id)
        image = scratch / "stick.img"
        partitions.write_table(image, layout)
        put_boot_files(image, layout, host, describe(spec, host, contents, stick_id), spec, tools, progress)
        put_host(image, layout, host, progress)
        key = generate_key() if key_file_folder else None
        put_parcels(image, layout, contents, passphrase, key, spec.luks, tools, progress, scratch)
        key_path = keep_key(key, key_file_folder, stick_id)
        image.replace(out)  # commit point: the image appears whole, or not at all
    allocated_bytes = out.stat().st_blocks * 512
    host_bytes = host.squashfs.stat().st_size
    return CreatedStick(out, stick_id, spec.total_bytes, allocated_bytes, host.version, host_bytes, key_path)


def require_target(out: Path) -> None:
    """A new file in a folder that exists; anything else is refused."""
    if out.exists() and not out.is_file():
        raise BadInput(f"{out} is not a file", "make an image file, then: soulpad write IMAGE DEVICE")
    if not out.parent.is_dir():
        raise BadInput(f"there is no folder {out.parent}", "make it first")


def plan_layout(spec: StickSpec, host: HostImage, contents: Sequence[ParcelContents], stick_id: str) -> Layout:
    """The partitions; raises DeviceTooSmall or BadInput when host or parcels do not fit."""
    layout = partitions.plan(spec.total_bytes, host.squashfs.stat().st_size, stick_id)
    room_bytes = layout.of("parcels").size_bytes - PAYLOAD_OFFSET_BYTES
    memory_bytes = sum(parcel.description.machine.memory_mib for parcel in contents) * MIB
    needed_bytes = least_size_bytes(store_tree(contents)) + memory_bytes  # a session keeps its RAM on the stick
    if needed_bytes > room_bytes:
        least_bytes = spec.total_bytes + needed_bytes - room_bytes
        raise BadInput(
            f"the parcels need {format_bytes(needed_bytes)}, a stick of {format_bytes(spec.total_bytes)} "
            f"has {format_bytes(max(room_bytes, 0))} for them",
            f"make it at least {-(-least_bytes // MIB)}MiB: --size {-(-least_bytes // MIB)}MiB",
        )
    return layout


def store_tree(contents: Sequence[ParcelContents]) -> dict[PurePosixPath, Content]:
    """Everything in the store's file system."""
    return {path: content for parcel in contents for path, content in parcel.tree().items()}


def describe(spec: StickSpec, host: HostImage, contents: Sequence[ParcelContents], stick_id: str) -> StickDescription:
    """The public description on the ESP."""
    requirements = tuple(
        ParcelRequirement(
            uuid=parcel.description.uuid,
            cpu_model=parcel.description.machine.cpu_model,
            memory_mib=parcel.description.machine.memory_mib,
            accelerator=parcel.accelerator,
            vmm=parcel.vmm,
        )
        for parcel in contents
    )
    return StickDescription(stick_id, host.version, spec.keyboard, requirements)


def put_boot_files(
    image: Path,
    layout: Layout,
    host: HostImage,
    description: StickDescription,
    spec: StickSpec,
    tools: Toolbox,
    progress: Progress,
) -> None:
    """The ESP for UEFI PCs and GRUB's core image for BIOS PCs."""
    progress.step("Writing the boot files")
    stick_id = description.stick_id
    words = (
        f"soulpad.host={partition_name('host-a', stick_id)}",
        f"soulpad.keyboard={spec.keyboard}",
        *spec.kernel_arguments,
    )
    config = grubconfig.grub_config(stick_id, " ".join(words))
    files = grubconfig.esp_files(tools, host.kernel, host.initrd, description.encode(), config, stick_id)
    write_esp(image, layout.of("esp"), ESP_LABEL, {**files, RECOVERY_NAME: DOCS / "recovery.md"})
    bios = layout.of("bios")
    bootsector.install_bios_grub(
        image,
        tools,
        grubconfig.bios_embedded_config(stick_id),
        core_offset_bytes=bios.offset_bytes,
        core_room_bytes=bios.size_bytes - BOOT_MARK_BYTES,
    )


def put_host(image: Path, layout: Layout, host: HostImage, progress: Progress) -> None:
    """Copies the squashfs into slot A."""
    progress.step("Writing the host")
    size_bytes = host.squashfs.stat().st_size
    with host.squashfs.open("rb") as source, image.open("r+b") as target:
        target.seek(layout.of("host-a").offset_bytes)
        try:
            while piece := source.read(COPY_BYTES):
                target.write(piece)
                progress.advance(source.tell(), size_bytes)
        except OSError as error:
            raise NoSpace(f"{image}: {error.strerror}", "free some space and run it again") from None


def put_parcels(
    image: Path,
    layout: Layout,
    contents: Sequence[ParcelContents],
    passphrase: Secret,
    key: Secret | None,
    luks: LuksSpec,
    tools: Toolbox,
    progress: Progress,
    scratch: Path,
) -> None:
    """The encrypted store with all parcels."""
    parcels = layout.of("parcels")
    write_store(
        image,
        parcels.offset_bytes,
        parcels.size_bytes,
        store_tree(contents),
        passphrase,
        key,
        luks,
        tools.argv,
        progress,
        scratch,
    )


def keep_key(key: Secret | None, folder: Path | None, stick_id: str) -> Path | None:
    """Writes the auxiliary key file, readable by its owner alone."""
    if key is None or folder is None:
        return None
    path = folder / f"soulpad-{stick_id}.key"
    path.touch(mode=0o600)
    path.write_bytes(key.reveal())
    return path
