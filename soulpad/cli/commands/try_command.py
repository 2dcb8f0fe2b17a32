"""``soulpad try``: a stick image in an emulated PC, in a window or headless."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from builder.pc.keyboard import chords_for
from builder.pc.machine import Accelerator, MachineOptions, Window
from builder.pc.profile import PcProfile, find_profile, known_profiles
from builder.pc.running import RunningPc, power_on
from builder.pc.trial import PROMPT_READY, Trial, TrialPlan, usb_disk_for_trial
from soulpad.base.errors import BadInput, UsageError
from soulpad.cli.output import emit, people, progress

EPILOG = """examples:
  soulpad try stick.img
  soulpad try stick.img --pc secure-laptop --copy --headless --screenshots pictures/ --timeout 600
  soulpad try --list-pcs

Without --copy the image changes as a stick would. The exit code is 0 when the PC switched itself off,
60 when its power was cut (its window was closed) or the time was up."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", nargs="?", type=Path, help="a stick image, or a stick's device")
    parser.add_argument("--pc", default="uefi-desktop", metavar="PROFILE", help="which PC (--list-pcs), or a TOML file")
    parser.add_argument("--list-pcs", action="store_true", help="list the PCs there are")
    parser.add_argument("--copy", action="store_true", help="leave the image as it is: changes go to a temporary copy")
    parser.add_argument("--kvm", action="store_true", help="run on this machine's CPU instead of an emulated one")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="keep the PC's own disk, settings and logs here")
    parser.add_argument("--headless", action="store_true", help="open no window")
    parser.add_argument("--screenshots", type=Path, metavar="DIR", help="save a picture of the screen every 5 seconds")
    parser.add_argument("--serial-log", type=Path, metavar="FILE", help="save what came out of the first serial port")
    text = parser.add_mutually_exclusive_group()
    text.add_argument("--type", metavar="TEXT", help="type this, then Enter (visible to others here: no true secrets)")
    text.add_argument("--type-file", type=Path, metavar="FILE", help="type this file's first line, then Enter")
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--type-when", metavar="REGEX", default=PROMPT_READY, help="type when the serial log shows this")
    when.add_argument("--type-after", type=float, metavar="SECONDS", help="type so long after power on")
    button = parser.add_mutually_exclusive_group()
    button.add_argument("--power-button-when", metavar="REGEX", help="press the power button when the log shows this")
    button.add_argument("--power-button-after", type=float, metavar="SECONDS", help="press it so long after power on")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="cut the power and fail after this time")


def run(arguments: argparse.Namespace) -> int:
    """Boots the image in the PC and stays with it until it is off."""
    if arguments.list_pcs:
        return list_pcs(arguments.json)
    if arguments.image is None:
        raise UsageError("which image?", "name a stick image: soulpad try stick.img")
    profile = find_profile(arguments.pc)
    options = machine_options(arguments, os.environ)
    plan = trial_plan(arguments)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soulpad-try-")))
        shown = stack.enter_context(progress())
        stick = usb_disk_for_trial(arguments.image, scratch if arguments.copy else None)
        folder = arguments.folder or scratch / profile.name
        pc = stack.enter_context(power_on(profile, stick, folder, options=options))
        if arguments.serial_log:
            stack.callback(shutil.copyfile, pc.room.serial_log(0), arguments.serial_log)
        shown.step(f"the PC {profile.name} is on: {profile.description}")
        trial = Trial(pc, plan, shown)
        trial.run()
        shown.step(f"the PC switched itself off after {pc.seconds():.0f} seconds")
        if arguments.json:
            emit(as_fields(arguments, pc, trial))
    return 0


def machine_options(arguments: argparse.Namespace, environment: Mapping[str, str]) -> MachineOptions:
    """A window where there is a desktop. Raises UsageError where there is none."""
    if not arguments.headless and not {"DISPLAY", "WAYLAND_DISPLAY"} & environment.keys():
        raise UsageError("there is no desktop here to open a window on", "use --headless --screenshots DIR")
    return MachineOptions(
        accelerator=Accelerator.KVM if arguments.kvm else Accelerator.TCG,
        window=Window.NONE if arguments.headless else Window.GTK,
    )


def trial_plan(arguments: argparse.Namespace) -> TrialPlan:
    """What to do when. Raises BadInput for what cannot be typed or matched, before anything is started."""
    text = arguments.type
    try:
        if arguments.type_file:
            text = arguments.type_file.read_text().split("\n", 1)[0]
        if arguments.screenshots:
            arguments.screenshots.mkdir(parents=True, exist_ok=True)
        if arguments.serial_log:
            arguments.serial_log.touch()
    except OSError as error:
        raise BadInput(f"{error.filename}: {error.strerror}") from None
    chords_for(text or "")
    return TrialPlan(
        text=text,
        text_when=regular_expression(arguments.type_when),
        text_after_seconds=arguments.type_after,
        power_button_when=regular_expression(arguments.power_button_when) if arguments.power_button_when else None,
        power_button_after_seconds=arguments.power_button_after,
        timeout_seconds=arguments.timeout,
        screenshots=arguments.screenshots,
    )


def regular_expression(text: str) -> str:
    """``text``, when it is one. Raises BadInput."""
    try:
        re.compile(text)
    except re.error as error:
        raise BadInput(f"{text!r} is no regular expression: {error}") from None
    return text


def as_fields(arguments: argparse.Namespace, pc: RunningPc, trial: Trial) -> dict[str, Any]:
    """The trial as ``--json`` gives it."""
    return {
        "image": str(arguments.image),
        "pc": asdict(pc.profile),
        "powered_off": pc.powered_off,
        "seconds": round(pc.seconds(), 1),
        "stick": asdict(pc.block_statistics()),
        "screenshots": [str(path) for path in trial.pictures],
        "serial_log": str(arguments.serial_log) if arguments.serial_log else None,
    }


def list_pcs(as_json: bool) -> int:
    """Lists the emulated PCs."""
    profiles = known_profiles()
    if as_json:
        emit({"pcs": [asdict(profile) for profile in profiles]})
    else:
        people.print(as_table(profiles))
    return 0


def as_table(profiles: tuple[PcProfile, ...]) -> Table:
    """The PCs for people."""
    table = Table("PC", "firmware", "USB", "memory", "what it is", box=None, pad_edge=False)
    for profile in profiles:
        memory = f"{profile.memory_mib} MiB"
        table.add_row(profile.name, profile.firmware, profile.usb, memory, profile.description)
    return table
