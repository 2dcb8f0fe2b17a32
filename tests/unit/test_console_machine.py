"""The console's arguments, layouts, keys of the terminal, and its dealings with the kernel."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from hostos.programs.soulpad_console import machine, vt
from hostos.programs.soulpad_console.layouts import ALIASES, LAYOUTS, Keyboard, canonical
from hostos.programs.soulpad_console.link import ClientGone, Link
from hostos.programs.soulpad_console.options import Options, parse, seconds
from hostos.programs.soulpad_console.screen import decode


def test_options_are_taken_as_two_words_or_one() -> None:
    options, unknown = parse(["--keyboard", "es", "--power-off-after-seconds=3", "--nonsense", "stray", "--socket"])
    assert (options.keyboard, options.power_off_after_seconds) == ("es", "3")
    assert unknown == ["--nonsense", "stray", "--socket"]
    assert options.socket == Options().socket


@pytest.mark.parametrize(("text", "expected"), [("3", 3.0), ("0.5", 0.5), ("soon", 8.0), ("", 8.0)])
def test_a_number_that_is_none_gives_the_default(text: str, expected: float) -> None:
    assert seconds(text, 8.0) == expected


def test_layout_names_can_be_drawn_with_the_kernels_font() -> None:
    for _, title in LAYOUTS:
        assert title.encode("cp437")


def test_every_alias_leads_to_a_layout_of_the_list() -> None:
    assert set(ALIASES.values()) <= {name for name, _ in LAYOUTS}


@pytest.mark.parametrize("name", ["", "-q", "../../tmp/evil", "/etc/x", "a b", "é", "x" * 41, "."])
def test_a_layout_name_that_is_no_plain_word_is_not_passed_on(name: str) -> None:
    assert canonical(name) == "us"


def test_the_enrolments_layout_is_set_up_and_the_kernels_own_is_not() -> None:
    assert Keyboard("de").changing
    assert Keyboard("de").title == "Deutsch"
    assert not Keyboard("us").changing


def test_a_layout_outside_the_list_is_offered_by_its_name() -> None:
    keyboard = Keyboard("slovene")
    assert (keyboard.wanted, keyboard.title) == ("slovene", "slovene")
    assert len(keyboard.layouts) == len(LAYOUTS) + 1


@pytest.mark.parametrize(
    ("read", "keys"),
    [
        (["a", "é", "ß", "ж"], ["a", "é", "ß", "ж"]),
        (["\r"], ["enter"]),
        (["\x7f", "\b", "\x15"], ["backspace", "backspace", "clear"]),
        (["\x1b"], ["escape"]),
        (["\x1b", "[", "2", "5", "~", "a"], ["a"]),
        (["\x1b", "O", "Q", "a"], ["a"]),
        (["\x1b", "x", "a"], ["a"]),
        (["\x1b", "["], []),
        (["\t", "\x03", "\x1a", "\x00", "\udcff", "\u200e"], []),
        ([99999], []),
    ],
)
def test_only_characters_and_known_keys_come_from_the_terminal(read: list[int | str], keys: list[str]) -> None:
    assert decode(read) == keys


class KernelConsole:
    """Answers ioctl as a virtual terminal in a given state, and notes what was set."""

    def __init__(self, leds: int = 0, locks: int = 0, active: int = 1, keyboard_mode: int = vt.K_UNICODE) -> None:
        self.leds, self.locks, self.active, self.keyboard_mode = leds, locks, active, keyboard_mode
        self.did: list[tuple[int, int]] = []

    def ioctl(self, descriptor: int, request: int, argument: bytes | int) -> bytes | int:
        assert descriptor == 0
        if isinstance(argument, int):
            self.did.append((request, argument))
            return 0
        return {
            vt.KDGETLED: bytes([self.leds]),
            vt.KDGKBLED: bytes([self.locks]),
            vt.VT_GETSTATE: struct.pack("HHH", self.active, 0, 0),
            vt.KDGKBMODE: struct.pack("i", self.keyboard_mode),
        }[request]


def on(monkeypatch: pytest.MonkeyPatch, console: KernelConsole) -> KernelConsole:
    monkeypatch.setattr(fcntl, "ioctl", console.ioctl)
    monkeypatch.setattr(os, "ttyname", lambda _: "/dev/tty1")
    return console


@pytest.mark.parametrize(("leds", "locks", "expected"), [(0, 0, False), (4, 0, True), (0, 4, True), (3, 3, False)])
def test_caps_lock_is_seen_by_lock_or_lamp(
    monkeypatch: pytest.MonkeyPatch, leds: int, locks: int, expected: bool
) -> None:
    on(monkeypatch, KernelConsole(leds=leds, locks=locks))
    assert vt.caps_lock(0) is expected


def test_the_console_comes_back_from_another_virtual_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    console = on(monkeypatch, KernelConsole(active=7))
    vt.bring_to_front(0)
    assert console.did == [(vt.VT_ACTIVATE, 1), (vt.KDSETMODE, vt.KD_TEXT)]


def test_a_keyboard_that_a_killed_compositor_left_off_is_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    console = on(monkeypatch, KernelConsole(keyboard_mode=vt.K_OFF))
    vt.bring_to_front(0)
    assert console.did == [(vt.KDSETMODE, vt.KD_TEXT), (vt.KDSKBMODE, vt.K_UNICODE)]


def test_a_terminal_that_is_no_virtual_one_is_left_alone() -> None:
    master, slave = os.openpty()
    try:
        assert vt.caps_lock(slave) is False
        vt.bring_to_front(slave)
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(
    ("cmdline", "port"),
    [
        ("quiet soulpad.report=ttyS0 audit=0\n", "ttyS0"),
        ("quiet", ""),
        ("soulpad.report=../../etc/passwd", ""),
        ("soulpad.report=", ""),
        ("xsoulpad.report=ttyS0", ""),
    ],
)
def test_a_serial_port_is_used_only_when_the_kernel_command_line_names_one(cmdline: str, port: str) -> None:
    assert machine.report_port(cmdline) == port


def test_a_report_goes_to_the_marks_the_kernel_log_and_the_serial_port(tmp_path: Path) -> None:
    options = Options()
    options.kmsg, options.marks = str(tmp_path / "kmsg"), str(tmp_path / "marks")
    options.dev, options.cmdline = str(tmp_path), str(tmp_path / "cmdline")
    (tmp_path / "cmdline").write_text("quiet soulpad.report=ttyS9\n")
    for name in ("kmsg", "ttyS9"):
        (tmp_path / name).touch()
    machine.report(options, "prompt-drawn")
    event, uptime = (tmp_path / "marks").read_text().split()
    assert event == "prompt-drawn"
    assert float(uptime) > 0
    assert (tmp_path / "kmsg").read_text() == f"<6>soulpad: prompt-drawn {uptime}\n"
    assert f"SOULPAD prompt-drawn {uptime}" in (tmp_path / "ttyS9").read_text()


def test_a_report_that_nobody_can_take_fails_nothing(tmp_path: Path) -> None:
    options = Options()
    for name in vars(options):
        setattr(options, name, str(tmp_path / "missing" / name))
    machine.report(options, "prompt-drawn")


def test_an_error_is_described_without_its_words() -> None:
    try:
        raise ValueError("correct horse battery staple")
    except ValueError as error:
        line = machine.describe(error)
    assert "ValueError" in line
    assert "test_console_machine.py:" in line
    assert "horse" not in line


def test_loadkeys_that_cannot_be_started_is_a_failure_and_not_an_error(tmp_path: Path) -> None:
    assert machine.LayoutLoader(str(tmp_path / "loadkeys")).start("es") is False


def test_a_socket_hidden_by_a_mount_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "run" / "console.sock"
    link = Link(str(path))
    link.ensure()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    first = link.listener_descriptor
    link.ensure()
    assert link.listener_descriptor == first
    path.unlink()
    link.ensure()
    assert path.is_socket()


def test_a_link_that_cannot_listen_yet_does_so_later(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the folder will be")
    link = Link(str(tmp_path / "run" / "console.sock"))
    link.ensure()
    assert link.listener_descriptor == -1
    (tmp_path / "run").unlink()
    link.ensure()
    assert link.listener_descriptor >= 0


def test_an_answer_without_a_client_is_said_to_be_undeliverable(tmp_path: Path) -> None:
    with pytest.raises(ClientGone):
        Link(str(tmp_path / "console.sock")).send(b"{}\n")
