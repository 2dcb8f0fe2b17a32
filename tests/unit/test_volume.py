"""The encrypted store's commands, their order, and what is undone when one of them fails."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from soulpad.base.errors import ProgramFailed, SoulpadError, StoreDamaged, WrongPassphrase
from soulpad.base.run import Argument, Result
from soulpad.base.secrets import Secret
from soulpad.session import volume, writeback
from soulpad.session.thispc import Stick

STICK = Stick(Path("/dev/sdb"), Path("/dev/sdb5"), "0badcafe")
PASSPHRASE = b"a passphrase that nobody must see"


class Programs:
    """Notes what would be run; one of them may fail."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.stdin: list[bytes | None] = []
        self.failing: str | None = None
        self.code = 1

    def run(self, argv: Sequence[Argument], *, stdin: bytes | None = None) -> Result:
        self.calls.append([os.fspath(word) for word in argv])
        self.stdin.append(stdin)
        if self.failing == self.calls[-1][0]:
            raise ProgramFailed("it failed", code=self.code, complaint="bad superblock")
        return Result("", "")

    @property
    def names(self) -> list[str]:
        return [" ".join(call[:2]) if call[0] == "cryptsetup" else call[0] for call in self.calls]


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Programs:
    noted = Programs()
    monkeypatch.setattr(volume, "run", noted.run)
    monkeypatch.setattr(volume, "MOUNT_POINT", tmp_path / "store")
    monkeypatch.setattr(volume, "read_ahead_file", lambda: tmp_path / "read_ahead_kb")
    monkeypatch.setattr(writeback, "VM", tmp_path / "vm")
    monkeypatch.setattr(volume, "MAPPED", Path("/dev/null"))
    return noted


def test_the_secret_goes_in_on_stdin_and_stands_in_no_argument(programs: Programs) -> None:
    volume.unlock(STICK.parcels, Secret(PASSPHRASE))
    assert programs.stdin == [PASSPHRASE]
    assert not any(PASSPHRASE.decode() in word for call in programs.calls for word in call)
    assert programs.calls[0][-2:] == ["/dev/sdb5", volume.MAPPING]


def test_a_wrong_passphrase_is_told_from_a_damaged_store(programs: Programs) -> None:
    programs.failing = "cryptsetup"
    for code, expected in ((2, WrongPassphrase), (1, StoreDamaged), (4, StoreDamaged)):
        programs.code = code
        with pytest.raises(expected) as refused:
            volume.unlock(STICK.parcels, Secret(PASSPHRASE))
        assert isinstance(refused.value, SoulpadError) and refused.value.hint


def test_a_mounted_store_is_unmounted_before_its_key_is_taken_away(programs: Programs, tmp_path: Path) -> None:
    with volume.mounted() as root:
        assert programs.names == ["mount"] and root == tmp_path / "store"
    assert programs.names == ["mount", "umount", "cryptsetup close"]
    assert (tmp_path / "read_ahead_kb").read_text() == str(volume.READ_AHEAD_KIB)


def test_nothing_on_the_store_is_run_as_a_program(programs: Programs) -> None:
    with volume.mounted():
        options = programs.calls[0][programs.calls[0].index("-o") + 1].split(",")
    assert {"nodev", "nosuid", "noexec"} <= set(options)


def test_a_store_is_closed_when_the_session_ends_with_an_error(programs: Programs) -> None:
    with pytest.raises(KeyboardInterrupt), volume.mounted():
        raise KeyboardInterrupt
    assert programs.names == ["mount", "umount", "cryptsetup close"]


def test_a_file_system_that_cannot_be_mounted_is_closed_again(programs: Programs) -> None:
    programs.failing = "mount"
    with pytest.raises(StoreDamaged, match="bad superblock"), volume.mounted():
        pytest.fail("there is nothing to use")
    assert programs.names == ["mount", "cryptsetup close"]


def fake_sysfs(folder: Path, disk_sectors: int, start: int, sectors: int) -> Path:
    (folder / "sdb").mkdir(parents=True)
    (folder / "sdb5").mkdir()
    (folder / "sdb" / "size").write_text(f"{disk_sectors}\n")
    (folder / "sdb5" / "start").write_text(f"{start}\n")
    (folder / "sdb5" / "size").write_text(f"{sectors}\n")
    return folder


@pytest.mark.parametrize(("disk", "start", "sectors", "free"), [(1000, 100, 900, 0), (1000, 100, 400, 500 * 512)])
def test_free_space_is_what_lies_behind_the_partition(
    tmp_path: Path, disk: int, start: int, sectors: int, free: int
) -> None:
    assert volume.free_behind(STICK, fake_sysfs(tmp_path, disk, start, sectors)) == free


def test_a_full_stick_keeps_its_table(programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "store").mkdir()
    monkeypatch.setattr(volume, "free_behind", lambda _stick: volume.WORTH_GROWING_BYTES - 512)
    assert volume.grow(STICK) is False
    assert programs.names == ["xfs_growfs"]


@pytest.mark.parametrize("mapped", [True, False])
def test_each_layer_grows_after_the_one_below_it(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mapped: bool
) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "sdb5").mkdir()
    (tmp_path / "sdb5/partition").write_text("5\n")
    monkeypatch.setattr(volume, "SYSFS", tmp_path)
    monkeypatch.setattr(volume, "free_behind", lambda _stick: volume.WORTH_GROWING_BYTES)
    monkeypatch.setattr(volume, "store_of", lambda _stick: Path("/dev/dm-1") if mapped else STICK.parcels)
    volume.grow(STICK)
    keeper = [os.fspath(volume.KEEPER)] if mapped else []
    assert programs.names == ["sfdisk", "partx", *keeper, "cryptsetup resize", "xfs_growfs"]
