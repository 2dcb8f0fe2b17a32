"""CPU classes: how old a PC a parcel may meet, chosen by its owner when the parcel is made.

A higher class gives the guest more instructions and fewer PCs. Every class leaves out what its PCs do not agree on:
``vme``, which nested KVM on AMD-like processors lacks; ``pcid``, ``invpcid`` and ``erms``, which AMD brought years
after Intel; ``rdrand``, which Linux takes from AMD's processors before Zen; ``xsaveopt``; ``tsc-deadline``, which QEMU
cannot emulate where there is no KVM. TSX is in none: Intel took it back.

Flags are the names of /proc/cpuinfo, one for each feature that QEMU 10.0 answers to ``query-cpu-model-expansion`` (type
static, machine pc-q35-10.0), but without those that KVM offers on every PC: hypervisor, x2apic, arat.
"""

from __future__ import annotations

from dataclasses import dataclass

from soulpad.base.errors import BadInput
from soulpad.store.parcel import ANY_PC_CPU

_ANY_PC = frozenset({
    "apic", "clflush", "cmov", "cx16", "cx8", "de", "fpu", "fxsr", "lahf_lm", "lm", "mca", "mce", "mmx", "msr", "mtrr",
    "nx", "pae", "pat", "pge", "pni", "popcnt", "pse", "pse36", "sep", "sse", "sse2", "sse4_1", "sse4_2", "ssse3",
    "syscall", "tsc",
})  # fmt: skip
_V2_AES = _ANY_PC | {"aes", "pclmulqdq"}
_V3 = _V2_AES | {
    "abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "fsgsbase", "movbe", "rdtscp", "smep", "xsave",
}  # fmt: skip


@dataclass(frozen=True)
class CpuClass:
    """``model``: QEMU's text, frozen into the parcel. ``flags``: what a PC's /proc/cpuinfo must show.
    ``pcs``: the processors that have them, as the end of "use a PC with ..."."""

    name: str
    model: str
    flags: frozenset[str]
    pcs: str


ANY_PC = CpuClass(
    name="any-pc",
    model=ANY_PC_CPU,
    flags=_ANY_PC,
    pcs="an Intel Core i of 2009, an AMD FX of 2011, an Intel Atom of 2013, or anything later",
)
CLASSES = (
    ANY_PC,
    CpuClass(
        name="x86-64-v2-aes",
        model="Westmere-v1,-vme",
        flags=_V2_AES,
        pcs="an Intel Core i5 or i7 of 2011, an AMD FX of 2011, an Intel Core i3 of 2013, or anything of 2015 or later",
    ),
    CpuClass(
        name="x86-64-v3",
        model="Haswell-v2,-vme,-pcid,-invpcid,-erms,-rdrand,-xsaveopt,-tsc-deadline",
        flags=_V3,
        pcs="an Intel Core i of 2013 or later, or an AMD Ryzen; of Intel Pentium and Celeron only the latest",
    ),
)
"""From the lowest to the highest; each class has every flag of those before it."""


def class_of(model: str) -> CpuClass | None:
    """The class of a parcel's CPU model, or None for a model that no class gives."""
    return next((known for known in CLASSES if known.model == model), None)


def class_named(name: str) -> CpuClass:
    """The class of that name; raises BadInput."""
    for known in CLASSES:
        if known.name == name:
            return known
    raise BadInput(f"{name[:40]!r} is no CPU class", f"give one of: {', '.join(known.name for known in CLASSES)}")


def best_class(flags: frozenset[str]) -> CpuClass | None:
    """The highest class that a PC with these flags can run, or None when it is below them all."""
    return next((known for known in reversed(CLASSES) if known.flags <= flags), None)
