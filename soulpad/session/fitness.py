"""Whether this PC can resume what is on the stick, said before the passphrase.

Judged from ``soulpad.json`` on the boot partition, which everybody can change: it is only ever advice. What counts is
checked again when a parcel is resumed (``machine.require_fits``, and QEMU's ``enforce``); which QEMU it is, only there,
because asking it takes seconds that nobody should wait for. A file that is missing or damaged means no advice.
"""

from __future__ import annotations

import logging
import re
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from soulpad.base.errors import SoulpadError, StoreDamaged
from soulpad.base.run import run
from soulpad.session.console import Console
from soulpad.session.report import report
from soulpad.session.thispc import LEAST_MEMORY_MIB, Stick, ThisPc, esp_of, vt_hint
from soulpad.store.cpuclass import best_class, class_of
from soulpad.store.stick import DESCRIPTION_NAME, ParcelRequirement, StickDescription

log = logging.getLogger("soulpad.session")

LARGEST_DESCRIPTION_BYTES = 65536
MOST_FLAGS = 4
MOST_FINDINGS = 3


@dataclass(frozen=True)
class Finding:
    """Something that a parcel wants and this PC has not. ``refuses``: so it cannot be resumed here; else it is only a
    note. ``message`` and ``hint``: a sentence each."""

    kind: Literal["processor", "virtualisation", "memory", "vmm"]
    refuses: bool
    message: str
    hint: str


@dataclass(frozen=True)
class Verdict:
    """What was found about one parcel; nothing when it fits."""

    uuid: str
    findings: tuple[Finding, ...]

    @property
    def refused(self) -> bool:
        return any(finding.refuses for finding in self.findings)


def advise(console: Console, stick: Stick, pc: ThisPc) -> None:
    """Shows at the passphrase prompt what this PC lacks, and reports it. Fails for nothing that is on the stick."""
    description = read_description(stick)
    if description is None:
        return
    judged = verdicts(description, pc)
    refused = sum(verdict.refused for verdict in judged)
    with suppress(SoulpadError):  # whoever cannot be advised can still be asked
        console.advise(advice(judged))
    report("fitness", parcels=len(judged), refused=refused, findings=reported(judged))


# --- judging


def verdicts(description: StickDescription, pc: ThisPc, vmm: str | None = None) -> list[Verdict]:
    """A verdict for each parcel, in the order of the description. ``vmm``: this host's QEMU, if that is known."""
    return [
        Verdict(
            parcel.uuid,
            tuple(
                finding
                for finding in (
                    about_processor(parcel, pc),
                    about_virtualisation(parcel, pc),
                    about_memory(parcel, pc),
                    about_vmm(parcel, vmm),
                )
                if finding
            ),
        )
        for parcel in description.parcels
    ]


def about_processor(parcel: ParcelRequirement, pc: ThisPc) -> Finding | None:
    """The features that the parcel's CPU class asks for, where it will run on the PC's own processor."""
    wanted = class_of(parcel.cpu_model)
    emulated = parcel.accelerator == "qemu" or (parcel.accelerator == "any" and not pc.kvm)
    if wanted is None or emulated or not pc.flags:
        return None
    missing = sorted(wanted.flags - pc.flags)
    if not missing:
        return None
    fitting = best_class(pc.flags)
    lower = f" This PC can run parcels of the CPU class {fitting.name}." if fitting else ""
    return Finding(
        "processor",
        True,
        f"This PC cannot run the parcel: its processor lacks {some_of(missing)}.",
        f"Use a PC with {wanted.pcs}.{lower}",
    )


def some_of(flags: list[str]) -> str:
    """The first few flags, and how many there are besides."""
    more = len(flags) - MOST_FLAGS
    return ", ".join(flags[:MOST_FLAGS]) + (f" and {more} more" if more > 0 else "")


def about_virtualisation(parcel: ParcelRequirement, pc: ThisPc) -> Finding | None:
    """A session that KVM suspended resumes under KVM alone. Of a parcel that is not suspended, or was
    suspended without its description coming to know of it, only the store knows what it can."""
    if pc.kvm or parcel.accelerator == "qemu":
        return None
    state = "is switched off" if pc.virtualisation_flag else "is missing"
    if parcel.accelerator == "kvm":
        message = f"This PC cannot resume the session: its virtualisation {state}."
        return Finding("virtualisation", True, message, vt_hint(pc))
    message = f"This PC's virtualisation {state}: it starts the parcel slowly, and resumes nothing suspended with it."
    return Finding("virtualisation", False, message, vt_hint(pc))


def about_memory(parcel: ParcelRequirement, pc: ThisPc) -> Finding | None:
    """A parcel's memory is a file on the stick: a PC with less is slower, down to what the host itself takes."""
    if pc.memory_mib < LEAST_MEMORY_MIB:
        message = f"This PC has {pc.memory_mib} MB of memory, SoulPad needs {LEAST_MEMORY_MIB} MB."
        return Finding("memory", True, message, "Use a PC with 1 GB or more.")
    if parcel.memory_mib <= pc.memory_mib:
        return None
    message = f"This PC has {pc.memory_mib} MB of memory, the parcel {parcel.memory_mib} MB: it will be slower."
    return Finding("memory", False, message, "A PC with more memory is faster.")


def about_vmm(parcel: ParcelRequirement, vmm: str | None) -> Finding | None:
    """A session resumes under the QEMU that suspended it. What is no version is taken for unknown."""
    suspended_by = parcel.vmm or ""
    if vmm is None or parcel.vmm == vmm or not re.fullmatch(r"QEMU \d+(\.\d+){1,3}", suspended_by, re.ASCII):
        return None
    return Finding(
        "vmm",
        True,
        f"The session was suspended by {suspended_by}; this stick's host has {vmm}.",
        "Use the host version that suspended it, or start the parcel anew from its disk.",
    )


# --- saying


def advice(judged: list[Verdict]) -> list[str]:
    """The lines for the prompt: refusals first, each finding once, with how many parcels it is about."""
    counted = count(judged)
    lines = [
        f"{about(parcels, len(judged))}{finding.message} {finding.hint}" for finding, parcels in counted[:MOST_FINDINGS]
    ]
    more = len(counted) - MOST_FINDINGS
    return [*lines, f"And {more} more."] if more > 0 else lines


def count(judged: list[Verdict]) -> list[tuple[Finding, int]]:
    """Each finding with its number of parcels, refusals first."""
    counted = Counter(finding for verdict in judged for finding in verdict.findings)
    return sorted(counted.items(), key=lambda item: not item[0].refuses)


def about(parcels: int, total: int) -> str:
    """Which parcels a finding is about. Names are not public, so none can be said here."""
    if parcels == total:
        return ""
    return f"{parcels} of {total} parcels: "


def reported(judged: list[Verdict]) -> list[dict[str, Any]]:
    """The findings for a report, as many as are shown."""
    return [
        {"kind": finding.kind, "refuses": finding.refuses, "parcels": parcels, "message": finding.message}
        for finding, parcels in count(judged)[:MOST_FINDINGS]
    ]


# --- reading


def read_description(stick: Stick) -> StickDescription | None:
    """``soulpad.json`` of the stick that the host runs from, or None with a line in the log."""
    try:
        return StickDescription.decode(read_from_esp(stick))
    except (SoulpadError, OSError) as error:
        log.warning("no advice before the passphrase: %s", error)
        return None


def read_from_esp(stick: Stick) -> bytes:
    """The file's bytes; its partition is mounted read-only for the moment, where only this service sees it.

    Raises StoreDamaged when partition or file is not there or the file is too large, ProgramFailed and OSError.
    """
    partition = esp_of(stick)
    if partition is None:
        raise StoreDamaged("this stick has no boot partition")
    with tempfile.TemporaryDirectory(dir="/run/soulpad") as folder:
        run(["mount", "-t", "vfat", "-o", "ro,nodev,nosuid,noexec", partition, folder])
        try:
            return read_at_most(Path(folder) / DESCRIPTION_NAME, LARGEST_DESCRIPTION_BYTES)
        finally:
            run(["umount", folder])


def read_at_most(path: Path, most_bytes: int) -> bytes:
    """A file's bytes; raises StoreDamaged when there are more, OSError."""
    with path.open("rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise StoreDamaged(f"{path.name} has more than {most_bytes} bytes")
    return content
