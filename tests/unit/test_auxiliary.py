"""The key on another USB disk: where it is looked for, and that nothing stays mounted."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from soulpad.base.errors import ProgramFailed
from soulpad.base.run import Argument, Result
from soulpad.session import auxiliary
from soulpad.session.thispc import Stick

STICK = Stick(Path("/dev/sdb"), Path("/dev/sdb5"), "0badcafe")
Put = Callable[[Path], None]


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    folder = tmp_path / "class"
    folder.mkdir()
    for bus, disk, partitions in (
        ("pci/ata1", "sda", ["sda1"]),
        ("pci/usb1", "sdb", ["sdb1", "sdb5"]),
        ("pci/usb2", "sdc", ["sdc1"]),
        ("pci/usb2", "sdbb", []),
        ("virtual", "dm-0", []),
    ):
        for parts in ([disk], *([disk, name] for name in partitions)):
            real = tmp_path.joinpath("devices", bus, "block", *parts)
            real.mkdir(parents=True)
            (folder / parts[-1]).symlink_to(real)
    return folder


def test_only_other_usb_disks_are_looked_at(sysfs: Path) -> None:
    found = auxiliary.usb_block_devices(STICK, sysfs)
    assert found == [Path("/dev/sdbb"), Path("/dev/sdc"), Path("/dev/sdc1")]


class Mounts:
    """``mount`` puts files into the mount point instead; ``umount`` takes them away."""

    def __init__(self, contents: dict[str, Put]) -> None:
        self.contents = contents
        self.calls: list[list[str]] = []
        self.mounted: set[str] = set()

    def run(self, argv: Sequence[Argument]) -> Result:
        words = [os.fspath(word) for word in argv]
        self.calls.append(words)
        if words[0] == "umount":
            self.mounted.remove(words[1])
        elif words[-2] in self.contents:
            self.mounted.add(words[-1])
            self.contents[words[-2]](Path(words[-1]))
        else:
            raise ProgramFailed("mount: wrong fs type")
        return Result("", "")


@pytest.fixture
def mounts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Mounts:
    fake = Mounts({})
    folder = tmp_path / "run"
    folder.mkdir()
    original = tempfile.TemporaryDirectory
    monkeypatch.setattr(auxiliary, "run", fake.run)
    monkeypatch.setattr(tempfile, "TemporaryDirectory", lambda **_: original(dir=folder))
    return fake


def key_named(name: str, content: bytes) -> Put:
    def put(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return put


def test_the_first_disk_with_this_sticks_key_gives_it(sysfs: Path, mounts: Mounts) -> None:
    mounts.contents = {
        "/dev/sdbb": key_named("soulpad-11111111.key", b"another stick's"),
        "/dev/sdc1": key_named("soulpad-0badcafe.key", b"\0\n key \xff"),
    }
    secret = auxiliary.find_key(STICK, sysfs)
    assert secret is not None and secret.reveal() == b"\0\n key \xff"
    assert not mounts.mounted


def test_no_disk_no_key(sysfs: Path, mounts: Mounts) -> None:
    assert auxiliary.find_key(STICK, sysfs) is None
    assert not mounts.mounted


def test_a_disk_is_only_ever_read(mounts: Mounts) -> None:
    mounts.contents = {"/dev/sdc1": key_named("soulpad-0badcafe.key", b"k")}
    auxiliary.key_on(Path("/dev/sdc1"), "0badcafe")
    options = mounts.calls[0][mounts.calls[0].index("-o") + 1].split(",")
    assert set(options) == {"ro", "nodev", "nosuid", "noexec"}


@pytest.mark.parametrize(
    "put",
    [
        lambda folder: (folder / "soulpad-0badcafe.key").write_bytes(bytes(auxiliary.LARGEST_KEY_BYTES + 1)),
        lambda folder: (folder / "soulpad-0badcafe.key").mkdir(),
        lambda folder: None,
    ],
)
def test_what_cannot_be_a_key_is_passed_over_and_the_disk_let_go(mounts: Mounts, put: Put) -> None:
    mounts.contents = {"/dev/sdc1": put}
    assert auxiliary.key_on(Path("/dev/sdc1"), "0badcafe") is None
    assert not mounts.mounted


def test_the_key_is_not_offered_to_the_guest(sysfs: Path, tmp_path: Path) -> None:
    usb_device = tmp_path / "devices/pci/usb2"
    (usb_device / "busnum").write_text("2\n")
    (usb_device / "devnum").write_text("17\n")
    node = tmp_path / "nodes/002/017"
    node.parent.mkdir(parents=True)
    node.touch(mode=0o660)
    assert auxiliary.usb_node(Path("/dev/sdc1"), sysfs, tmp_path / "nodes") == node
    if os.geteuid() == 0:
        auxiliary.keep_from_guest(node)
        assert node.stat().st_mode & 0o777 == 0o600


def test_a_key_that_is_pulled_out_at_once_or_is_on_no_known_device_is_no_error(sysfs: Path, tmp_path: Path) -> None:
    assert auxiliary.usb_node(Path("/dev/dm-0"), sysfs) is None
    auxiliary.keep_from_guest(None)
    auxiliary.keep_from_guest(tmp_path / "gone")
