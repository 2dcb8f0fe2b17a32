"""A trial of a stick: switch an emulated PC on and let it run until it switches itself off, doing a few things at
given moments and taking pictures on the way."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from builder.pc.machine import UsbDisk
from builder.pc.running import RunningPc
from soulpad.base.errors import BadImage, EmulatedPcFailed
from soulpad.base.progress import Progress
from soulpad.base.run import run

PROMPT_READY = "SOULPAD .*prompt-ready"  # what the host's console reports when it waits for a passphrase
PICTURE_EVERY_SECONDS = 5.0
POLL_SECONDS = 0.2
CLOSE_SECONDS = 60


@dataclass(frozen=True)
class TrialPlan:
    """``text`` is typed, then Enter, when the host's log shows ``text_when`` (a regular expression), or
    ``text_after_seconds`` when that is given; the power button is pressed likewise. None means never; all times count
    from power on."""

    text: str | None = field(default=None, repr=False)
    text_when: str = PROMPT_READY
    text_after_seconds: float | None = None
    power_button_when: str | None = None
    power_button_after_seconds: float | None = None
    timeout_seconds: float | None = None
    screenshots: Path | None = None

    def text_is_due(self, seconds: float, log: str) -> bool:
        """Whether the moment to type has come."""
        if self.text_after_seconds is not None:
            return seconds >= self.text_after_seconds
        return re.search(self.text_when, log) is not None

    def button_is_due(self, seconds: float, log: str) -> bool:
        """Whether the moment to press the power button has come."""
        if self.power_button_after_seconds is not None:
            return seconds >= self.power_button_after_seconds
        return self.power_button_when is not None and re.search(self.power_button_when, log) is not None

    def is_over(self, seconds: float) -> bool:
        """Whether the time is up."""
        return self.timeout_seconds is not None and seconds >= self.timeout_seconds


def usb_disk_for_trial(image: Path, scratch: Path | None) -> UsbDisk:
    """The image as a USB disk: itself, or, given a ``scratch`` folder, a copy that holds only what changes.
    Raises BadImage, MissingProgram, ProgramFailed."""
    if not (image.is_file() or image.is_block_device()):
        raise BadImage(f"{image} is neither an image file nor a disk", "make one with: soulpad create")
    if scratch is None:
        return UsbDisk(image)
    overlay = scratch / "copy.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", image.resolve(), overlay])
    return UsbDisk(overlay, image_format="qcow2", durable=False)


class Trial:
    """One run of a plan."""

    def __init__(self, pc: RunningPc, plan: TrialPlan, progress: Progress) -> None:
        self.pictures: list[Path] = []
        self._pc = pc
        self._plan = plan
        self._progress = progress
        self._typed = plan.text is None
        self._pressed = False
        self._next_picture_at = 0.0

    def run(self) -> None:
        """Runs until the PC has switched itself off. Raises EmulatedPcFailed when it lost its power instead (its
        window was closed) or the time is up."""
        while self._pc.is_on():
            seconds = self._pc.seconds()
            if self._plan.is_over(seconds):
                self._take_picture(seconds)
                raise EmulatedPcFailed(
                    f"the PC {self._pc.profile.name} had not switched itself off after {seconds:.0f} seconds",
                    "give it more time with --timeout, or look at its screen with --screenshots",
                )
            self._do_what_is_due(seconds)
            time.sleep(POLL_SECONDS)
        if not self._pc.powered_off:
            raise EmulatedPcFailed(
                f"the PC {self._pc.profile.name} lost its power: QEMU ended", "closing its window does that"
            )
        self._take_picture(self._pc.seconds())
        self._pc.wait_for_power_off(CLOSE_SECONDS)

    def _do_what_is_due(self, seconds: float) -> None:
        if seconds >= self._next_picture_at:
            self._take_picture(seconds)
            self._next_picture_at = seconds + PICTURE_EVERY_SECONDS
        log = self._pc.serial()
        if not self._typed and self._plan.text_is_due(seconds, log):
            self._typed = True
            self._progress.step(f"{seconds:.0f} s: typing")
            self._pc.type_text(f"{self._plan.text}\n")
        if not self._pressed and self._plan.button_is_due(seconds, log):
            self._pressed = True
            self._progress.step(f"{seconds:.0f} s: pressing the power button")
            self._pc.press_power_button()

    def _take_picture(self, seconds: float) -> None:
        if self._plan.screenshots is not None:
            path = self._plan.screenshots / f"screen-{seconds:06.1f}.png"
            self.pictures.append(self._pc.screenshot(path))
