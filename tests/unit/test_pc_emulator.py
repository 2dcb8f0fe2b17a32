"""Which QEMU plays a PC: the unpacked one without a window, this machine's with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.debian.toolbox import EMULATOR, Toolbox
from builder.pc import emulator
from builder.pc.emulator import QEMU, emulator_for, unpacked_emulator
from builder.pc.machine import Window
from soulpad.base.errors import MissingProgram


@pytest.fixture
def box(tmp_path: Path) -> Toolbox:
    for name in ("usr/bin", "usr/share/qemu", "usr/share/seabios", "usr/lib/x86_64-linux-gnu/qemu"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "usr/bin" / QEMU).touch()
    return Toolbox(tmp_path, EMULATOR)


def test_the_unpacked_qemu_is_told_where_its_firmware_and_modules_lie(box: Toolbox) -> None:
    found = unpacked_emulator(box)
    assert Path(found.argv[0]).name == QEMU
    folders = [found.argv[at + 1] for at, word in enumerate(found.argv) if word == "-L"]
    assert folders == [str(box.root / "usr/share/qemu"), str(box.root / "usr/share/seabios")]
    assert found.env == {"QEMU_MODULE_DIR": str(box.root / "usr/lib/x86_64-linux-gnu/qemu")}


def test_an_emulator_without_its_firmware_is_damaged(box: Toolbox) -> None:
    (box.root / "usr/share/seabios").rmdir()
    with pytest.raises(MissingProgram, match="seabios"):
        unpacked_emulator(box)


def test_without_a_window_nothing_of_this_machine_is_used(box: Toolbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(emulator, "toolbox", lambda progress, kit: box)
    assert emulator_for(Window.NONE).argv[0].startswith(str(box.root))


def test_a_window_needs_this_machines_qemu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(MissingProgram, match=QEMU):
        emulator_for(Window.GTK)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert emulator_for(Window.GTK).argv == (QEMU,)
