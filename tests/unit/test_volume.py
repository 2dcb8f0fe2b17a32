"""The encrypted store's commands, their order, and what is undone when one of them fails."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from soulpad.base.errors import ProgramFailed, SoulpadError, StoreDamaged, WrongPassphrase
from soulpad.base.run import Argument, Result
from soulpad.base.secrets import Secret
from soulpad.base.units import MIB
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


SECTORS_OF_MIB = 2048


@pytest.mark.parametrize(
    ("disk_mib", "size_mib", "wanted_mib"),
    [(4096, 3900, 3995), (4096, 3995, None), (4096, 3940, None), (4096, 3931, 3995), (4097, 3900, 3996)],
)
def test_a_partition_grows_to_the_last_whole_mib_before_the_backup_table(
    tmp_path: Path, disk_mib: int, size_mib: int, wanted_mib: int | None
) -> None:
    sysfs = fake_sysfs(tmp_path, disk_mib * SECTORS_OF_MIB + 7, 100 * SECTORS_OF_MIB, size_mib * SECTORS_OF_MIB)
    assert volume.wanted_bytes(STICK, sysfs) == (None if wanted_mib is None else wanted_mib * MIB)


def test_a_partition_of_a_size_that_cannot_be_opened_is_cut_to_one_that_can(tmp_path: Path) -> None:
    sysfs = fake_sysfs(tmp_path, 9961472, 3604480, 6356959)
    assert volume.wanted_bytes(STICK, sysfs) == 6356952 * 512


def test_a_full_stick_keeps_its_table(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume, "wanted_bytes", lambda _stick: None)
    volume.widen(STICK)
    assert programs.names == []


def test_a_file_system_that_fills_its_volume_does_not_grow(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    assert volume.grow() is False
    assert programs.names == ["xfs_growfs"]


@pytest.mark.parametrize("mapped", [True, False])
def test_each_layer_below_the_store_is_widened_after_the_one_below_it(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mapped: bool
) -> None:
    (tmp_path / "sdb5").mkdir()
    (tmp_path / "sdb5/partition").write_text("5\n")
    monkeypatch.setattr(volume, "SYSFS", tmp_path)
    monkeypatch.setattr(volume, "wanted_bytes", lambda _stick: 3995 * MIB)
    monkeypatch.setattr(volume, "store_of", lambda _stick: Path("/dev/dm-1") if mapped else STICK.parcels)
    volume.widen(STICK)
    assert programs.names == ["sfdisk", "partx", *([os.fspath(volume.KEEPER)] if mapped else [])]
    assert programs.stdin[0] == b", 4090880KiB\n"
