"""What the walk proved: the report for machines (build/demo/report.json), five lines for people, and the judgement."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from builder.device.writeplan import data_spans
from demo.stations import Stay
from soulpad.base.durable import write_durably
from soulpad.base.errors import VerifyFailed
from soulpad.base.units import MIB, format_bytes

SCANNED_AT_ONCE_BYTES = 16 * MIB


def report_of(image: Path, stays: Sequence[Stay], pattern_mib: int, markers: Sequence[str]) -> dict[str, Any]:
    """The report; its fields are a contract (docs/formats/demo-report.md)."""
    first, second = stays
    return {
        "image": str(image),
        "pcs": [pc_report(stay) for stay in stays],
        "continuity": {
            "boot_id": [first.last_soul["boot_id"], second.first_soul["boot_id"]],
            "counter": [first.last_soul["counter"], second.first_soul["counter"]],
            "memory_pattern_mib": pattern_mib,
            "memory_pattern_verified": second.last_soul["pattern_ok"]
            and second.answers["verify"] == f"{pattern_mib} MiB are as they were",
            "file_found": bool(second.first_soul["file_found"]),
        },
        "guest_clock": {
            "pc_ahead_hours": second.profile.clock_ahead_hours - first.profile.clock_ahead_hours,
            "off_seconds_at_first": second.clock_off_seconds["at first"],
            "off_seconds_after_work": second.clock_off_seconds["after work"],
        },
        "stages_seconds": {"resume": second.running["stages"], "suspend": first.suspended["stages"]},
        "bytes": {
            "read_before_first_output": second.bytes["read at guest's first word"] - second.bytes["read when unlocked"],
            "written_at_suspend": first.bytes["written at suspend"],
        },
        "markers": list(markers),
        "key": "",
        "begun_anew_because": "",
        "markers_found": [],
    }


def pc_report(stay: Stay) -> dict[str, Any]:
    """One PC's part of the report."""
    profile = stay.profile
    return {
        "profile": profile.name,
        "firmware": profile.firmware.value,
        "usb": profile.usb.value,
        "cpu": profile.cpu,
        "memory_mib": profile.memory_mib,
        "display": profile.display.value,
        "nic": profile.nic.value if profile.nic else None,
        "internal_disk_sha256": stay.internal_disk_sha256,
        "answers": stay.answers,
        "screenshots": [str(path) for path in stay.screenshots],
        "seconds": {name: round(seconds, 1) for name, seconds in stay.seconds.items()},
        "bytes": stay.bytes,
    }


def found_in(image: Path, markers: Iterable[str]) -> list[str]:
    """The markers that occur anywhere in the raw image."""
    wanted = {marker: marker.encode() for marker in markers}
    overlap = max(len(content) for content in wanted.values()) - 1
    found = set()
    with image.open("rb") as file:
        for start, end in data_spans(file.fileno(), image.stat().st_size):
            position = start
            while position < end:
                file.seek(position)
                piece = file.read(min(SCANNED_AT_ONCE_BYTES + overlap, end - position))
                found |= {marker for marker, content in wanted.items() if content in piece}
                position += SCANNED_AT_ONCE_BYTES
    return sorted(found)


def judge(report: dict[str, Any]) -> dict[str, Any]:
    """The report, if it proves what it should; otherwise VerifyFailed with what it does not."""
    continuity = report["continuity"]
    disks = [pc["internal_disk_sha256"] for pc in report["pcs"]]
    claims = {
        "the boot id is the same": continuity["boot_id"][0] == continuity["boot_id"][1],
        "the counter went on": 0 < continuity["counter"][1] - continuity["counter"][0] < 60,
        "the memory pattern is as it was": continuity["memory_pattern_verified"],
        "the file is there": continuity["file_found"],
        "the PCs' own disks are untouched": all(disk["before"] == disk["after"] for disk in disks),
        "no marker of the session is readable on the stick": not report["markers_found"],
    }
    if broken := [claim for claim, holds in claims.items() if not holds]:
        raise VerifyFailed(f"not so: {'; '.join(broken)}", "the evidence is in build/demo/report.json")
    return report


def kept(path: Path, key: str) -> dict[str, Any] | None:
    """The report of a walk with the same key that proved everything, if its stick and pictures are still there."""
    try:
        report = dict(json.loads(path.read_text()))
        files = [report["image"], *(picture for pc in report["pcs"] for picture in pc["screenshots"])]
        whole = report["key"] == key and all(Path(file).exists() for file in files)
        return judge(report) if whole else None
    except (FileNotFoundError, ValueError, TypeError, KeyError, VerifyFailed):
        return None


def save(report: dict[str, Any], path: Path) -> None:
    """Writes the report."""
    write_durably(path, (json.dumps(report, indent=1) + "\n").encode())


def closing_lines(report: dict[str, Any]) -> list[str]:
    """The evidence in six lines."""
    first, second = report["pcs"]
    continuity, stages, clock = report["continuity"], report["stages_seconds"], report["guest_clock"]
    vm_seconds = sum(seconds for name, seconds in stages["resume"].items() if name.startswith(("checkpoint", "VM ")))
    return [
        f"One session, two PCs: {first['profile']} ({first['firmware']}, {first['usb']}) -> "
        f"{second['profile']} ({second['firmware']}, {second['usb']})",
        f"Same boot id {continuity['boot_id'][0][:8]}, counter {' -> '.join(map(str, continuity['counter']))}, "
        f"{continuity['memory_pattern_mib']} MiB of memory verified, file found",
        f"The second PC's clock is {clock['pc_ahead_hours']} hours ahead; the guest's was off by "
        f"{clock['off_seconds_at_first']} s at its first word, by {clock['off_seconds_after_work']} s after the work",
        f"Resume: prompt after {second['seconds']['power-on to prompt']} s, unlock {stages['resume']['unlock']:.1f} s, "
        f"session {vm_seconds:.1f} s, {format_bytes(report['bytes']['read_before_first_output'])} read for it",
        f"Suspend: saved {first['seconds']['button to suspended']} s after the button, off after "
        f"{first['seconds']['button to power-off']} s, {format_bytes(report['bytes']['written_at_suspend'])} written",
        "Both PCs' own disks are bit-identical; nothing of the session is readable on the raw stick",
    ]
