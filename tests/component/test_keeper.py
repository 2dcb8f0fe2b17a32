"""What the keeper makes of the disks that it is shown, in a folder that looks like /sys, /dev and /run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.host.native import compile_keeper
from soulpad.base.errors import ProgramFailed
from soulpad.base.run import run
from soulpad.store.stick import BOOT_MARK_BYTES

pytestmark = pytest.mark.component

BIOS_BYTES = 1 << 20
NAMES = {1: "bios", 2: "esp", 3: "host-a", 4: "host-b", 5: "parcels"}


@pytest.fixture(scope="session")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_keeper(tmp_path_factory.mktemp("keeper") / "keeper")


@dataclass
class Pc:
    """A PC that was started from the stick ``0badcafe``."""

    folder: Path
    keeper: Path

    def has(self, disk: str, stick_id: str = "0badcafe", cache: str = "write through", state: str = "running") -> Path:
        """A disk is put in; its bios partition as a file."""
        real = self.folder / "sys/devices/usb1" / disk
        real.mkdir(parents=True)
        coming = len(list((self.folder / "sys/block").iterdir())) + 1
        for name, text in (("diskseq", str(coming)), ("size", "8388608")):
            (real / name).write_text(f"{text}\n")
        (real / "queue").mkdir()
        (real / "queue/write_cache").write_text(f"{cache}\n")
        (real / "device").mkdir()
        (real / "device/state").write_text(f"{state}\n")
        (self.folder / "sys/block" / disk).symlink_to(real)
        for number, role in NAMES.items():
            self._add_partition(real, number, f"soulpad-{role}-{stick_id}")
        bios = self.folder / "dev" / f"{disk}1"
        bios.write_bytes(bytes(BIOS_BYTES))
        return bios

    def _add_partition(self, disk: Path, number: int, gpt_name: str) -> None:
        folder = disk / f"{disk.name}{number}"
        folder.mkdir()
        (folder / "uevent").write_text(f"MAJOR=8\nDEVNAME={folder.name}\nDEVTYPE=partition\nPARTNAME={gpt_name}\n")
        for name, text in (("partition", number), ("start", 2048 * number), ("size", 2048), ("dev", f"8:{number}")):
            (folder / name).write_text(f"{text}\n")

    def loses(self, disk: str) -> None:
        """A disk is pulled out."""
        (self.folder / "sys/block" / disk).unlink()

    def runs(self, *words: str) -> str:
        return run([self.keeper, "--below", self.folder, *words]).stdout.strip()


@pytest.fixture
def pc(tmp_path: Path, keeper: Path) -> Pc:
    for name in ("sys/block", "dev", "run/soulpad", "proc"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "proc/cmdline").write_text("quiet soulpad.host=soulpad-host-a-0badcafe soulpad.keyboard=us\n")
    return Pc(tmp_path, keeper)


def put_back(pc: Pc, bios: Path, **differently: str) -> None:
    """The stick comes back as sdc, with what it held when it was pulled out as sdb."""
    content = bios.read_bytes()
    pc.loses("sdb")
    pc.has("sdc", **differently).write_bytes(content)


def test_the_mark_is_the_last_4_kib_of_its_partition_and_new_each_time(pc: Pc) -> None:
    bios = pc.has("sdb")
    pc.runs("mark", "sdb1")
    first = bios.read_bytes()
    pc.runs("mark", "sdb1")
    second = bios.read_bytes()
    for content in (first, second):
        mark = content[-BOOT_MARK_BYTES:]
        assert not any(content[:-BOOT_MARK_BYTES]), "GRUB's core image stays as it is"
        assert mark[:16] == b"SOULMARK\x01" + bytes(7) and any(mark[16:32]) and not any(mark[32:])
    assert first[-4080:-4064] != second[-4080:-4064]


def test_a_stick_that_is_back_under_another_name_is_ours(pc: Pc) -> None:
    bios = pc.has("sdb")
    pc.runs("mark", "sdb1")
    put_back(pc, bios)
    assert pc.runs("judge") == "ours sdc"


def test_a_stick_that_another_pc_was_started_with_is_not_ours_any_more(pc: Pc) -> None:
    bios = pc.has("sdb")
    pc.runs("mark", "sdb1")
    kept = (pc.folder / "run/soulpad/mark").read_bytes()
    pc.runs("mark", "sdb1")  # the other PC's start
    (pc.folder / "run/soulpad/mark").write_bytes(kept)
    put_back(pc, bios)
    assert pc.runs("judge") == "used-elsewhere sdc"


def test_a_twin_that_was_written_from_the_same_image_is_not_ours(pc: Pc) -> None:
    pc.has("sdb")
    pc.runs("mark", "sdb1")
    pc.loses("sdb")
    pc.has("sdc")
    assert pc.runs("judge") == "used-elsewhere sdc"


def test_a_stick_is_ours_only_if_its_mark_was_durable(pc: Pc) -> None:
    bios = pc.has("sdb")
    put_back(pc, bios)
    assert pc.runs("judge") == "used-elsewhere sdc"


def test_a_disk_that_loses_its_cache_with_its_power_cannot_go_on(pc: Pc) -> None:
    bios = pc.has("sdb", cache="write back")
    pc.runs("mark", "sdb1")
    put_back(pc, bios, cache="write back")
    assert pc.runs("judge") == "forgetful sdc"


def test_another_stick_is_another_and_ours_beside_it_is_found(pc: Pc) -> None:
    bios = pc.has("sdb")
    pc.runs("mark", "sdb1")
    content = bios.read_bytes()
    pc.loses("sdb")
    assert pc.runs("judge") == "none"
    pc.has("sdc", stick_id="deadbeef")
    assert pc.runs("judge") == "another sdc"
    pc.has("sdd").write_bytes(content)
    assert pc.runs("judge") == "ours sdd"


def test_a_disk_that_does_not_answer_is_as_good_as_pulled_out(pc: Pc) -> None:
    bios = pc.has("sdb")
    pc.runs("mark", "sdb1")
    put_back(pc, bios, state="offline")
    assert pc.runs("judge") == "none"


def test_a_card_reader_without_a_card_is_nothing(pc: Pc) -> None:
    pc.has("sdb", stick_id="deadbeef")
    (pc.folder / "sys/block/sdb/size").write_text("0\n")
    assert pc.runs("judge") == "none"


@pytest.mark.parametrize("text", ["", "quiet", "soulpad.host=", "soulpad.host=nonsense", "x" * 5000])
def test_a_host_that_does_not_know_its_stick_keeps_nothing(pc: Pc, text: str) -> None:
    (pc.folder / "proc/cmdline").write_text(text)
    with pytest.raises(ProgramFailed, match="names no stick"):
        pc.runs("judge")


@pytest.mark.parametrize("gpt_name", ["", "x" * 300, "soulpad-host-a-", "soulpad-host-a-0badcafe0", "\n\nDEVNAME=sda"])
def test_strange_partition_names_are_those_of_another_disk(pc: Pc, gpt_name: str) -> None:
    pc.has("sdb")
    pc.runs("mark", "sdb1")
    uevent = pc.folder / "sys/block/sdb/sdb3/uevent"
    uevent.write_text(f"DEVNAME=sdb3\nPARTNAME={gpt_name}\n")
    assert pc.runs("judge") == "another sdb"


def test_a_partition_that_is_too_short_for_a_mark_is_refused(pc: Pc) -> None:
    pc.has("sdb").write_bytes(b"short")
    with pytest.raises(ProgramFailed, match="cannot be marked"):
        pc.runs("mark", "sdb1")
    assert not (pc.folder / "run/soulpad/mark").exists()
