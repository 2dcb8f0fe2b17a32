"""The PC's processor, from the text of /proc/cpuinfo and the answers of CPUID."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from soulpad.base.errors import ProgramFailed
from soulpad.base.run import Argument, Result
from soulpad.session import processor
from soulpad.session.processor import ecx_of, flags_of, virtualisation_of

INTEL, AMD = 0x0000_0001, 0x8000_0001
CPUINFO = """\
processor\t: 0
model name\t: a CPU with vmx flags : svm
flags\t\t: fpu sse2 lahf_lm svm_lock
vmx flags\t: vnmi ept
bugs\t\t: spectre_v1

processor\t: 1
flags\t\t: fpu
"""


def cpuid_of(path: Path, leaf: int, ecx: int) -> Path:
    """A device that answers one leaf: its file offset is the leaf's number, and it gives four registers."""
    with path.open("wb") as file:
        file.seek(leaf)
        file.write(struct.pack("<4I", 1, 2, ecx, 3))
    return path


@pytest.fixture
def modprobe(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[Argument]]:
    """What was asked of the kernel's modules, none of which is there."""
    asked: list[Sequence[Argument]] = []

    def refused(argv: Sequence[Argument]) -> Result:
        asked.append(argv)
        raise ProgramFailed("modprobe ended with 1: not found")

    monkeypatch.setattr(processor, "run", refused)
    return asked


def test_flags_are_those_of_the_first_processor_and_of_no_other_line() -> None:
    assert flags_of(CPUINFO) == {"fpu", "sse2", "lahf_lm", "svm_lock"}


@pytest.mark.parametrize("text", ["", "processor : 0\n", "flags", "Features : fp asimd\n"])
def test_a_text_without_flags_has_none(text: str) -> None:
    assert flags_of(text) == frozenset()


@pytest.mark.parametrize("flag", ["vmx", "svm"])
def test_what_the_kernel_shows_needs_no_second_look(flag: str, modprobe: list[Sequence[Argument]]) -> None:
    assert virtualisation_of(frozenset({"fpu", flag}), Path("/nowhere")) == flag
    assert modprobe == []


@pytest.mark.parametrize(("flag", "leaf", "bit"), [("vmx", INTEL, 5), ("svm", AMD, 2)])
def test_virtualisation_that_the_firmware_switched_off_is_still_seen(
    tmp_path: Path, flag: str, leaf: int, bit: int
) -> None:
    device = cpuid_of(tmp_path / "cpuid", leaf, 1 << bit)
    assert virtualisation_of(frozenset({"fpu"}), device) == flag


@pytest.mark.parametrize("leaf", [INTEL, AMD])
def test_a_processor_whose_other_bits_are_set_has_no_virtualisation(tmp_path: Path, leaf: int) -> None:
    bit = 5 if leaf == INTEL else 2
    device = cpuid_of(tmp_path / "cpuid", leaf, 0xFFFF_FFFF & ~(1 << bit))
    assert virtualisation_of(frozenset({"fpu", "svm_lock"}), device) is None


def test_without_the_cpuid_module_only_the_kernels_word_counts(
    tmp_path: Path, modprobe: list[Sequence[Argument]]
) -> None:
    assert virtualisation_of(frozenset(), tmp_path / "cpuid") is None
    assert modprobe == [["modprobe", "cpuid"]]


def test_an_answer_that_is_cut_off_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "cpuid").write_bytes(b"\xff" * 10)
    assert ecx_of(INTEL, tmp_path / "cpuid") == 0


def test_a_device_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    assert ecx_of(INTEL, tmp_path) == 0
