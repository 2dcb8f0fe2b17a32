"""The console program and its terminal: keyboard layouts, a screen others change, crashes, and what nobody may read."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.component.console_pc import (
    BULLET,
    ENTER,
    F2,
    PATIENCE_SECONDS,
    PROGRAM,
    Pc,
    PowerOn,
    Service,
    answer,
    pcs_in,
)

pytestmark = pytest.mark.component

TIOCVHANGUP = 0x5437  # asm-generic/ioctls.h
CRASHES_ONCE = """
import sys
sys.path.append(sys.argv.pop(1))
from soulpad_console import loop, supervise
tick = loop.Console._tick
def crash(self, screen):
    loop.Console._tick = tick
    raise ValueError("the passphrase is swordfish")
def crash_when_typed(self, screen):
    if len(getattr(self.model.page, "field", "")) == 3:
        loop.Console._tick = crash
    tick(self, screen)
loop.Console._tick = crash_when_typed
supervise.main(sys.argv[1:])
"""


@pytest.fixture
def power_on(tmp_path: Path) -> Iterator[PowerOn]:
    with pcs_in(tmp_path) as power_on:
        yield power_on


def wait_for_go(pc: Pc, exit_code: int = 0) -> None:
    """Makes loadkeys take as long as the test wants."""
    os.mkfifo(pc.folder / "go")
    pc.script("loadkeys", f'echo "loadkeys $*" >> called; read go < go; exit {exit_code}')


def go(pc: Pc) -> None:
    (pc.folder / "go").write_text("\n")


def choose_spanish(pc: Pc) -> None:
    pc.type(F2)
    pc.see("Keyboard layout", "English (US)")
    pc.type("e")  # English (UK)
    pc.type("e")  # Español
    pc.type(ENTER)


def test_f2_switches_the_layout_and_keys_typed_meanwhile_are_not_read_in_the_wrong_one(power_on: PowerOn) -> None:
    pc = power_on()
    wait_for_go(pc)
    asked = Service(pc).passphrase()
    pc.see("Keyboard: English (US)")
    pc.type("ab")
    choose_spanish(pc)
    pc.see_call("loadkeys -q es")
    pc.see("Keyboard: Español (being set up)", BULLET * 2)
    pc.type("lost", ENTER)
    pc.settle()
    go(pc)
    shown = pc.see("Keys pressed meanwhile were not taken")
    assert BULLET * 2 in shown and BULLET * 3 not in shown
    assert "being set up" not in shown
    pc.type("cd", ENTER)
    assert answer(asked) == b"abcd"


def test_a_layout_that_cannot_be_loaded_leaves_the_one_before(power_on: PowerOn) -> None:
    pc = power_on()
    pc.script("loadkeys", "exit 1")
    pc.see("Passphrase")
    choose_spanish(pc)
    pc.see("Keyboard: English (US)", "could not be set up")


def test_the_enrolments_layout_is_set_up_before_the_first_key_counts(power_on: PowerOn, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    slow = tmp_path / "slow-loadkeys"
    slow.write_text(f'#!/bin/sh\necho "loadkeys $*" >> {tmp_path}/called\nread go < {tmp_path}/go\n')
    slow.chmod(0o755)
    pc = power_on(options=["--keyboard", "de", "--loadkeys", str(slow)])
    pc.see("Keyboard: Deutsch (being set up)")
    pc.see_call("loadkeys -q de-latin1-nodeadkeys")
    asked = Service(pc).passphrase()
    pc.type("lost", ENTER)
    pc.settle()
    assert "prompt-ready" not in pc.read("marks")
    go(pc)
    assert BULLET not in pc.see("not taken")
    pc.type("found", ENTER)
    assert answer(asked) == b"found"


def test_for_the_kernels_own_layout_nothing_is_loaded(power_on: PowerOn) -> None:
    pc = power_on(options=["--keyboard", "us"])
    pc.see_ready()
    assert pc.read("called") == ""


def test_a_terminal_reset_by_systemd_never_echoes_for_long(power_on: PowerOn) -> None:
    pc = power_on()
    asked = Service(pc).passphrase()
    pc.see("Passphrase")
    pc.cooked()
    assert pc.echoes()
    pc.until(lambda _: not pc.echoes(), "raw mode again")
    pc.type("silent", ENTER)
    assert answer(asked) == b"silent"
    assert "silent" not in pc.settle()


@pytest.mark.parametrize(("columns", "lines"), [(160, 50), (40, 12), (10, 4), (1, 1)])
def test_a_screen_that_changes_its_size_is_drawn_anew(power_on: PowerOn, columns: int, lines: int) -> None:
    pc = power_on()
    pc.see("Passphrase")
    pc.resize(columns, lines)
    pc.settle()
    pc.resize(100, 37)
    before = len(pc.raw)
    pc.until(lambda _: b"\x1b[J" in pc.raw[before:] or b"\x1b[2J" in pc.raw[before:], "a cleared screen")
    frame = next(row for row in pc.see("Passphrase", "F4 power off").split("\n") if "SoulPad" in row)
    assert abs((len(frame) - len(frame.lstrip())) - (len(frame) - len(frame.rstrip()))) <= 1


def test_what_the_kernel_prints_over_the_prompt_goes(power_on: PowerOn) -> None:
    pc = power_on()
    pc.see("Passphrase")

    def printed(shown: str) -> bool:
        if "descriptor" not in shown:  # the prompt may just have been drawn anew
            os.write(pc.slave, b"\x1b[1;1H" + b"usb 1-1: device descriptor read error " * 40)
        return "descriptor" in shown

    pc.until(printed, "what the kernel prints")
    whole = ("Passphrase", "Enter unlock")
    pc.until(lambda shown: "descriptor" not in shown and all(word in shown for word in whole), "the prompt whole again")


def test_an_unexpected_error_brings_the_prompt_back_and_tells_no_secret(power_on: PowerOn) -> None:
    pc = power_on(program=["-c", CRASHES_ONCE, str(PROGRAM.parent)])
    pc.see("Passphrase")
    pc.type("abc")
    pc.until(lambda _: "console restarted" in pc.read("kmsg"), "the restart in the log")
    shown = pc.until(lambda shown: "Enter unlock" in shown and BULLET not in shown, "an empty prompt")
    assert "Traceback" not in shown + pc.raw.decode(errors="replace")
    assert "ValueError" in pc.read("kmsg")
    assert "swordfish" not in pc.read("kmsg")
    asked = Service(pc).passphrase()
    pc.type("again", ENTER)
    assert answer(asked) == b"again"


def test_advice_outlives_an_unexpected_error(power_on: PowerOn) -> None:
    pc = power_on(program=["-c", CRASHES_ONCE, str(PROGRAM.parent)])
    service = Service(pc)
    service.tell(service.console.advise, ["This PC is slow."])
    pc.see("Passphrase", "This PC is slow.")
    pc.type("abc")
    pc.until(lambda _: "console restarted" in pc.read("kmsg"), "the restart in the log")
    pc.until(lambda shown: "This PC is slow." in shown and BULLET not in shown, "an empty prompt with the advice")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may hang a terminal up")
def test_a_terminal_that_was_hung_up_is_opened_again(power_on: PowerOn) -> None:
    pc = power_on()
    asked = Service(pc).passphrase()
    pc.see("Passphrase")
    name = os.ttyname(pc.slave)
    fcntl.ioctl(pc.slave, TIOCVHANGUP)
    os.close(pc.slave)
    pc.until(lambda _: "console restarted" in pc.read("kmsg"), "the restart in the log")
    pc.slave = os.open(name, os.O_RDWR | os.O_NOCTTY)
    pc.until(lambda _: not pc.echoes(), "the prompt's modes")
    pc.settle()
    pc.type("again", ENTER)
    assert answer(asked) == b"again"


def test_the_process_that_reads_passphrases_is_hardened(power_on: PowerOn) -> None:
    pc = power_on()
    pc.see_ready()
    proc = Path(f"/proc/{pc.process.pid}")
    core = next(row for row in (proc / "limits").read_text().splitlines() if row.startswith("Max core file size"))
    assert core.split()[-3:-1] == ["0", "0"]
    ignored = next(row for row in (proc / "status").read_text().splitlines() if row.startswith("SigIgn:"))
    assert int(ignored.split()[1], 16) & 0b111 == 0b111  # SIGHUP, SIGINT, SIGQUIT


def test_the_last_words_stay_when_the_system_ends_the_console(power_on: PowerOn) -> None:
    pc = power_on()
    service = Service(pc)
    service.tell(service.console.message, "Your session is saved", ["You can take the stick out."])
    pc.see("You can take the stick out.")
    pc.process.terminate()
    pc.process.wait(PATIENCE_SECONDS)
    shown = pc.settle()
    assert "You can take the stick out." in shown and "Traceback" not in shown


def test_nothing_typed_is_in_any_log(power_on: PowerOn) -> None:
    pc = power_on()
    service = Service(pc)
    asked = service.passphrase()
    pc.see("Passphrase")
    pc.type("swordfish", ENTER)
    answer(asked)
    pc.settle()
    assert b"swordfish" not in pc.raw
    for name in ("kmsg", "marks", "ttyS5", "called"):
        assert "swordfish" not in pc.read(name)
