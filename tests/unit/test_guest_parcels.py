"""What a parcel is made from: how it is asked for, and which files are taken for a disk."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.guest import parcels
from builder.guest.parcels import ParcelRequest, disk_format, parse_request, prepare, raw_disk, require_disk
from soulpad.base.errors import BadInput, CannotResume, SoulpadError
from soulpad.base.run import run
from soulpad.store.checkpoint import CheckpointManifest, SuspendedState, expected_files
from soulpad.store.cpuclass import CLASSES, class_named
from soulpad.store.parcel import Disk, Machine, ParcelDescription

BOOTABLE = bytes(510) + b"\x55\xaa" + bytes(512 * 7)


class Silent:
    """Progress that nobody looks at."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def step(self, name: str) -> None:
        self.steps.append(name)

    def advance(self, done_bytes: int, total_bytes: int) -> None: ...


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("work=debian.qcow2", ParcelRequest("work", Path("debian.qcow2"))),
        ("my work=/a b/c.img,memory=2GiB", ParcelRequest("my work", Path("/a b/c.img"), 2048)),
        ("w=g.toml,cpus=4,memory=512M", ParcelRequest("w", Path("g.toml"), 512, 4)),
        ("w=a=b.img", ParcelRequest("w", Path("a=b.img"))),
        ("w=a.img,cpu-class=x86-64-v3", ParcelRequest("w", Path("a.img"), cpu_class=class_named("x86-64-v3"))),
    ],
)
def test_a_parcel_is_asked_for_by_name_and_image(text: str, request_: ParcelRequest) -> None:
    assert parse_request(text) == request_


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "does not name a parcel"),
        ("debian.qcow2", "does not name a parcel"),
        ("=debian.qcow2", "does not name a parcel"),
        ("work=", "does not name a parcel"),
        ("work=a.img,", "does not name a parcel"),
        ("work=a.img,memory", "does not name a parcel"),
        ("work=a.img,memory=", "does not name a parcel"),
        ("work=a.img,disk=4G", "no option 'disk'"),
        ("work=a.img,memory=much", "is not a size"),
        ("work=a.img,cpu-class=fast", "'fast' is no CPU class"),
        ("work=a.img,cpus=0", "'0' is no number of processors"),
        ("work=a.img,cpus=17", "no number of processors"),
        ("work=a.img,cpus=-1", "no number of processors"),
        ("work=a.img,cpus=two", "no number of processors"),
        (" work=a.img", "cannot be a parcel's name"),
        ("x" * 41 + "=a.img", "cannot be a parcel's name"),
        ("a\x1bb=a.img", "cannot be a parcel's name"),
    ],
)
def test_what_names_no_parcel_is_refused_with_what_to_write(text: str, named: str) -> None:
    with pytest.raises(BadInput, match=named) as refused:
        parse_request(text)
    assert refused.value.hint


@given(st.text(max_size=30) | st.from_regex(r"[a-z]{1,3}=[a-z.]{1,5}(,(memory|cpus|x)=[0-9A-Za-z.]{1,4}){0,2}"))
def test_any_text_is_a_request_or_a_refusal(text: str) -> None:
    try:
        request = parse_request(text)
    except BadInput:
        return
    assert request.name and 1 <= request.vcpus <= 16 and text.startswith(request.name)


def test_a_raw_disk_is_used_where_it_lies(tmp_path: Path) -> None:
    source, progress = write(tmp_path / "disk.img", BOOTABLE), Silent()
    assert raw_disk(source, tmp_path / "copy.img", progress) == source
    assert not (tmp_path / "copy.img").exists() and not progress.steps


@pytest.mark.parametrize("kind", ["qcow2", "vdi", "vmdk"])
def test_another_format_is_converted_to_the_same_bytes(tmp_path: Path, kind: str) -> None:
    plain = write(tmp_path / "plain.img", BOOTABLE * 16)
    packed = tmp_path / f"disk.{kind}"
    run(["qemu-img", "convert", "-f", "raw", "-O", kind, plain, packed])
    before = packed.read_bytes()
    made = raw_disk(packed, tmp_path / "raw.img", Silent())
    assert made.read_bytes()[: len(BOOTABLE) * 16] == BOOTABLE * 16
    assert packed.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [b"", b"\x55\xaa", BOOTABLE[:-1], bytes(4096), b"just a text file\n" * 100, BOOTABLE[2:] + b"\0\0"],
)
def test_a_file_that_could_not_boot_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    source = write(tmp_path / "disk.img", content)
    with pytest.raises(BadInput, match="not a disk image that could boot"):
        require_disk(source)
    with pytest.raises(BadInput):
        raw_disk(source, tmp_path / "copy.img", Silent())
    assert source.read_bytes() == content and not (tmp_path / "copy.img").exists()


def test_a_damaged_image_is_refused_and_no_half_copy_stays(tmp_path: Path) -> None:
    packed = tmp_path / "disk.qcow2"
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", write(tmp_path / "plain.img", BOOTABLE), packed])
    write(packed, packed.read_bytes()[:24] + b"\xff" * 80)
    with pytest.raises(BadInput, match="cannot be read as a disk image"):
        raw_disk(packed, tmp_path / "raw.img", Silent())
    assert not (tmp_path / "raw.img").exists()


def test_a_conversion_that_is_interrupted_leaves_no_half_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_argv: object) -> None:
        (tmp_path / "raw.img").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(parcels, "disk_format", lambda _source: "qcow2")
    monkeypatch.setattr(parcels, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        raw_disk(tmp_path / "disk.qcow2", tmp_path / "raw.img", Silent())
    assert not (tmp_path / "raw.img").exists()


def test_a_format_that_is_no_disk_of_a_person_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "disk.luks"
    write(image, b"LUKS\xba\xbe\x00\x01" + bytes(4096))
    with pytest.raises(BadInput):
        disk_format(image)


def test_a_guest_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no guest"):
        prepare(ParcelRequest("work", tmp_path / "none.img"), tmp_path, Silent())


def test_a_new_parcel_starts_cold_from_its_disk(tmp_path: Path) -> None:
    disk = write(tmp_path / "disk.img", BOOTABLE)
    made = prepare(ParcelRequest("work", disk, 512, 2), tmp_path, Silent())
    machine = made.description.machine
    assert (machine.memory_mib, machine.vcpus, made.accelerator) == (512, 2, "any")
    assert machine.disks == (Disk("disk-0.img", len(BOOTABLE)),)
    manifest = made.files[PurePosixPath("checkpoints/0/checkpoint.json")]
    assert isinstance(manifest, bytes) and CheckpointManifest.decode(manifest).kind == "disk-only"
    assert made.files[PurePosixPath("current")] == b"0\n"
    assert made.tree()[PurePosixPath("parcels") / made.description.uuid / "checkpoints/0/disk-0.img"] == disk


def test_a_new_parcels_processor_is_of_the_class_that_was_asked_for(tmp_path: Path) -> None:
    disk = write(tmp_path / "disk.img", BOOTABLE)
    for known in CLASSES:
        made = prepare(ParcelRequest("work", disk, cpu_class=known), tmp_path, Silent())
        assert made.description.machine.cpu_model == known.model


def suspended_folder(folder: Path, taken_of: Machine | None = None) -> Path:
    machine = Machine(256, (Disk("disk-0.img", 512),))
    digest = hashlib.sha256(bytes(16)).hexdigest()
    state = SuspendedState(4096, 16, digest, "kvm", "QEMU 10.0.13", taken_of or machine)
    manifest = CheckpointManifest(3, 2, 1763700000, (512,), state)
    folder.mkdir()
    for name, size_bytes in expected_files(manifest).items():
        write(folder / name, bytes(size_bytes))
    write(folder / "checkpoint.json", manifest.encode())
    write(folder / "parcel.json", ParcelDescription("old name", machine).encode())
    return folder


def test_a_suspended_parcel_is_taken_over_under_its_new_name(tmp_path: Path) -> None:
    made = prepare(ParcelRequest("work", suspended_folder(tmp_path / "parcel")), tmp_path, Silent())
    assert (made.description.name, made.accelerator, made.vmm) == ("work", "kvm", "QEMU 10.0.13")
    assert made.files[PurePosixPath("current")] == b"3\n"
    assert {path.name for path in made.files if len(path.parts) == 3} == {
        "checkpoint.json", "disk-0.img", "ram.img", "device-state"
    }  # fmt: skip


def test_how_long_a_session_may_idle_is_the_requests_or_what_the_suspended_parcel_says(tmp_path: Path) -> None:
    folder = suspended_folder(tmp_path / "parcel")
    request = ParcelRequest("work", folder, suspend_when_idle_minutes=30)
    disk = write(tmp_path / "disk.img", BOOTABLE)
    for asked in (request, replace(request, guest=disk)):
        assert prepare(asked, tmp_path, Silent()).description.suspend_when_idle_minutes == 30
    described = ParcelDescription.decode((folder / "parcel.json").read_bytes())
    write(folder / "parcel.json", replace(described, suspend_when_idle_minutes=45).encode())
    assert prepare(ParcelRequest("work", folder), tmp_path, Silent()).description.suspend_when_idle_minutes == 45
    assert prepare(request, tmp_path, Silent()).description.suspend_when_idle_minutes == 30


@pytest.mark.parametrize("name", ["parcel.json", "checkpoint.json", "ram.img", "device-state", "disk-0.img"])
def test_a_suspended_parcel_that_lacks_a_file_is_refused(tmp_path: Path, name: str) -> None:
    folder = suspended_folder(tmp_path / "parcel")
    (folder / name).unlink()
    with pytest.raises(SoulpadError, match=name.replace(".", r"\.")):
        prepare(ParcelRequest("work", folder), tmp_path, Silent())


def test_a_checkpoint_of_another_machine_is_refused(tmp_path: Path) -> None:
    other = replace(Machine(256, (Disk("disk-0.img", 512),)), vcpus=2)
    with pytest.raises(CannotResume, match="another machine"):
        prepare(ParcelRequest("work", suspended_folder(tmp_path / "parcel", other)), tmp_path, Silent())


def test_a_suspended_parcel_keeps_its_processor(tmp_path: Path) -> None:
    folder = suspended_folder(tmp_path / "parcel")
    same, other = CLASSES[0], CLASSES[-1]
    assert prepare(ParcelRequest("work", folder, cpu_class=same), tmp_path, Silent()).vmm
    with pytest.raises(BadInput, match="cannot be changed"):
        prepare(ParcelRequest("work", folder, cpu_class=other), tmp_path, Silent())
