"""``soulpad try``: what is asked for, and when what is done."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from builder.pc.machine import Accelerator, UsbDisk, Window
from builder.pc.trial import PROMPT_READY, TrialPlan, usb_disk_for_trial
from soulpad.base.errors import BadImage, BadInput, UsageError
from soulpad.cli.commands.try_command import machine_options, trial_plan
from soulpad.cli.main import main, parser_for


def asked(*words: str) -> argparse.Namespace:
    argv = ["try", *words]
    return parser_for(argv).parse_args(argv)


def test_text_waits_for_the_hosts_prompt() -> None:
    plan = TrialPlan(text="a secret")
    assert not plan.text_is_due(1000, "SOULPAD prompt-drawn 3.20")
    assert plan.text_is_due(1, "[0.1] Linux\n\nSOULPAD prompt-ready 3.92\n")


def test_text_may_be_timed_instead() -> None:
    plan = TrialPlan(text="a secret", text_after_seconds=20)
    assert not plan.text_is_due(19.9, "SOULPAD prompt-ready 3.92")
    assert plan.text_is_due(20.0, "")


def test_power_button_is_pressed_only_when_asked_for() -> None:
    assert not TrialPlan().button_is_due(1e6, "anything")
    assert not TrialPlan(power_button_when="running").button_is_due(1e6, "unlocked")
    assert TrialPlan(power_button_when="running").button_is_due(0, "unlocked running")
    assert TrialPlan(power_button_after_seconds=5).button_is_due(5, "")


def test_trial_without_a_timeout_is_never_over() -> None:
    assert not TrialPlan().is_over(1e9)
    assert TrialPlan(timeout_seconds=3).is_over(3)


def test_what_is_typed_is_not_in_the_plans_description() -> None:
    assert "secret" not in repr(TrialPlan(text="a secret"))


def test_first_line_of_a_file_is_typed(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_text("correct horse\nnot this\n")
    plan = trial_plan(asked("stick.img", "--type-file", str(path)))
    assert (plan.text, plan.text_when) == ("correct horse", PROMPT_READY)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--type", "Ünlock"], "cannot be typed"),
        (["--type-when", "(", "--type", "x"], "no regular expression"),
        (["--power-button-when", "["], "no regular expression"),
        (["--type-file", "/nowhere/passphrase"], "/nowhere/passphrase: No such file"),
        (["--serial-log", "/nowhere/serial.log"], "/nowhere/serial.log: No such file"),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_pc_starts(words: list[str], complaint: str) -> None:
    with pytest.raises(BadInput) as refused:
        trial_plan(asked("stick.img", *words))
    assert complaint in refused.value.message


def test_window_needs_a_desktop() -> None:
    with pytest.raises(UsageError, match="no desktop"):
        machine_options(asked("stick.img"), {"HOME": "/root"})
    assert machine_options(asked("stick.img"), {"WAYLAND_DISPLAY": "wayland-0"}).window is Window.GTK
    assert machine_options(asked("stick.img", "--headless"), {"DISPLAY": ":0"}).window is Window.NONE


def test_kvm_is_used_only_when_asked_for() -> None:
    assert machine_options(asked("stick.img", "--headless"), {}).accelerator is Accelerator.TCG
    assert machine_options(asked("stick.img", "--headless", "--kvm"), {}).accelerator is Accelerator.KVM


def test_image_is_plugged_in_itself_unless_a_copy_is_wanted(tmp_path: Path) -> None:
    image = tmp_path / "stick.img"
    image.touch()
    assert usb_disk_for_trial(image, None) == UsbDisk(image)
    with pytest.raises(BadImage, match=r"missing\.img is neither"):
        usb_disk_for_trial(tmp_path / "missing.img", None)


def test_pcs_are_listed_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["try", "--list-pcs", "--json"]) == 0
    assert '"name": "secure-laptop"' in capsys.readouterr().out


def test_image_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["try", "--headless"]) == 2
    assert "which image" in capsys.readouterr().err
