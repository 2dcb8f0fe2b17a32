"""The judgement over a demonstration: each single claim that fails is found, and only a whole proof is kept."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demo import evidence
from soulpad.base.errors import VerifyFailed
from soulpad.base.units import MIB

Report = dict[str, Any]


def report_of(folder: Path) -> Report:
    """A walk that proved everything, with its files."""
    names = ["stick.img", "a.png", "b.png"]
    for name in names:
        (folder / name).touch()
    pc = {
        "profile": "desktop",
        "firmware": "bios",
        "usb": "uhci",
        "internal_disk_sha256": {"before": "aa", "after": "aa"},
        "seconds": {"power-on to prompt": 60.0, "button to suspended": 5.0, "button to power-off": 9.0},
    }
    return {
        "image": str(folder / "stick.img"),
        "pcs": [pc | {"screenshots": [str(folder / "a.png")]}, pc | {"screenshots": [str(folder / "b.png")]}],
        "continuity": {
            "boot_id": ["11112222-3333", "11112222-3333"],
            "counter": [100, 103],
            "memory_pattern_mib": 200,
            "memory_pattern_verified": True,
            "file_found": True,
        },
        "guest_clock": {"pc_ahead_hours": 25, "off_seconds_at_first": -90012.3, "off_seconds_after_work": -0.2},
        "stages_seconds": {"resume": {"unlock": 2.0, "VM resume": 0.5, "grow": 9.0}, "suspend": {}},
        "bytes": {"read_before_first_output": 31 * MIB, "written_at_suspend": 5 * MIB},
        "markers": ["M"],
        "key": "k1",
        "markers_found": [],
    }


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return report_of(tmp_path)


BREAKS: dict[str, tuple[str, Callable[[Report], None]]] = {
    "another boot": ("boot id", lambda r: r["continuity"].update(boot_id=["1", "2"])),
    "a counter that stands": ("counter", lambda r: r["continuity"].update(counter=[100, 100])),
    "a counter that began anew": ("counter", lambda r: r["continuity"].update(counter=[100, 3])),
    "a counter that ran while it was off": ("counter", lambda r: r["continuity"].update(counter=[100, 160])),
    "other memory": ("memory pattern", lambda r: r["continuity"].update(memory_pattern_verified=False)),
    "no file": ("file is there", lambda r: r["continuity"].update(file_found=False)),
    "a written disk": ("own disks", lambda r: r["pcs"][1].update(internal_disk_sha256={"before": "a", "after": "b"})),
    "a readable marker": ("marker", lambda r: r.update(markers_found=["M"])),
}


def test_a_walk_that_proved_everything_is_given_back(report: Report) -> None:
    assert evidence.judge(report) is report


@pytest.mark.parametrize(("named", "spoil"), BREAKS.values(), ids=BREAKS)
def test_each_claim_that_does_not_hold_is_named_and_no_other(
    report: Report, named: str, spoil: Callable[[Report], None]
) -> None:
    spoil(report)
    with pytest.raises(VerifyFailed, match=named) as refused:
        evidence.judge(report)
    assert ";" not in refused.value.message


def test_all_broken_claims_are_named_together(report: Report) -> None:
    report["continuity"].update(file_found=False, memory_pattern_verified=False)
    with pytest.raises(VerifyFailed, match=r"memory pattern.*; the file is there"):
        evidence.judge(report)


def test_a_saved_report_is_kept_under_its_key(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    evidence.save(report, path)
    assert evidence.kept(path, "k1") == report
    assert evidence.kept(path, "k2") is None


@pytest.mark.parametrize("name", ["stick.img", "a.png", "b.png", "report.json"])
def test_a_report_whose_stick_or_pictures_are_gone_is_not_kept(report: Report, tmp_path: Path, name: str) -> None:
    path = tmp_path / "report.json"
    evidence.save(report, path)
    (tmp_path / name).unlink()
    assert evidence.kept(path, "k1") is None


@pytest.mark.parametrize("spoil", [spoil for _, spoil in BREAKS.values()], ids=BREAKS)
def test_a_report_that_proved_too_little_is_not_kept(
    report: Report, tmp_path: Path, spoil: Callable[[Report], None]
) -> None:
    spoil(report)
    evidence.save(report, tmp_path / "report.json")
    assert evidence.kept(tmp_path / "report.json", "k1") is None


@pytest.mark.parametrize("field", ["image", "pcs", "continuity", "key", "markers_found"])
def test_a_report_of_an_older_form_is_not_kept(report: Report, tmp_path: Path, field: str) -> None:
    older = copy.deepcopy(report)
    del older[field]
    (tmp_path / "report.json").write_text(json.dumps(older))
    assert evidence.kept(tmp_path / "report.json", "k1") is None
    (tmp_path / "report.json").write_text("{")
    assert evidence.kept(tmp_path / "report.json", "k1") is None


def sparse(path: Path, size_bytes: int, pieces: dict[int, bytes]) -> Path:
    with path.open("wb") as file:
        file.truncate(size_bytes)
        for offset, content in pieces.items():
            file.seek(offset)
            file.write(content)
    return path


def test_markers_are_found_wherever_they_lie(tmp_path: Path) -> None:
    image = sparse(tmp_path / "image", 8 * MIB, {0: b"FIRST", 4 * MIB + 13: b"xMIDDLEx", 8 * MIB - 4: b"LAST"})
    assert evidence.found_in(image, ["MIDDLE", "FIRST", "LAST", "ABSENT"]) == ["FIRST", "LAST", "MIDDLE"]


@pytest.mark.parametrize("before", range(8))
def test_a_marker_across_the_border_of_two_pieces_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    monkeypatch.setattr(evidence, "SCANNED_AT_ONCE_BYTES", 4096)
    image = tmp_path / "image"
    image.write_bytes(b"." * (8192 - before) + b"MARKER!" + b"." * 4096)
    assert evidence.found_in(image, ["MARKER!", "a longer one that is not there"]) == ["MARKER!"]


def test_an_image_without_markers_or_without_data_has_none(tmp_path: Path) -> None:
    assert evidence.found_in(sparse(tmp_path / "holes", 8 * MIB, {}), ["M"]) == []
    assert evidence.found_in(sparse(tmp_path / "other", 8 * MIB, {MIB: b"MARKE R"}), ["MARKER"]) == []


def test_the_closing_lines_say_what_was_measured(report: Report) -> None:
    lines = evidence.closing_lines(report)
    words = "\n".join(lines)
    assert len(lines) == 6
    for said in (
        "100 -> 103",
        "11112222",
        "200 MiB",
        "after 60.0 s",
        "session 0.5 s",
        "31 MiB",
        "5 MiB written",
        "-90012.3 s",
        "-0.2 s",
    ):
        assert said in words
