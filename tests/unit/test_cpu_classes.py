"""CPU classes: which PCs can run them, and what they are called."""

from __future__ import annotations

from itertools import pairwise

import pytest

from soulpad.base.errors import BadInput
from soulpad.store.cpuclass import ANY_PC, CLASSES, best_class, class_named, class_of
from soulpad.store.parcel import Machine


def flags(words: str) -> frozenset[str]:
    return frozenset(words.split())


# From /proc/cpuinfo of real processors, without what no class asks for.
PHENOM_II = flags(
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 syscall nx "
    "rdtscp lm pni cx16 popcnt lahf_lm svm abm sse4a"
)
CORE_I7_920 = PHENOM_II - flags("svm abm sse4a") | flags("ssse3 sse4_1 sse4_2 vmx")
FX_8350 = PHENOM_II | flags("pclmulqdq ssse3 fma sse4_1 sse4_2 aes xsave avx f16c bmi1")
RYZEN_1700 = FX_8350 | flags("movbe rdrand fsgsbase avx2 smep bmi2 rdseed adx smap xsaveopt")


@pytest.mark.parametrize(
    ("processor", "name"),
    [
        (flags(""), None),
        (PHENOM_II, None),
        (CORE_I7_920, "any-pc"),
        (FX_8350, "x86-64-v2-aes"),
        (RYZEN_1700, "x86-64-v3"),
    ],
)
def test_a_processor_runs_the_classes_up_to_its_own(processor: frozenset[str], name: str | None) -> None:
    best = best_class(processor)
    assert (best and best.name) == name


def test_a_pc_that_runs_a_class_runs_every_lower_one() -> None:
    for lower, higher in pairwise(CLASSES):
        assert lower.flags < higher.flags


def test_a_parcel_is_for_any_pc_unless_its_owner_says_otherwise() -> None:
    assert class_of(Machine(512, ()).cpu_model) is ANY_PC is CLASSES[0]


def test_a_class_is_found_by_its_name_and_by_its_model() -> None:
    for known in CLASSES:
        assert class_named(known.name) is known
        assert class_of(known.model) is known


@pytest.mark.parametrize("model", ["", "Nehalem-v1", "Nehalem-v1,-vme,enforce", "host"])
def test_a_model_that_no_class_gives_has_no_class(model: str) -> None:
    assert class_of(model) is None


@pytest.mark.parametrize("name", ["", "host", "ANY-PC", "x86-64-v4", "x" * 10_000])
def test_an_unknown_class_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(BadInput) as refused:
        class_named(name)
    assert len(refused.value.message) < 100
    assert all(known.name in refused.value.hint for known in CLASSES)


def test_every_model_is_versioned_and_leaves_out_what_nested_kvm_lacks() -> None:
    for known in CLASSES:
        model, *changes = known.model.split(",")
        assert model.rpartition("-v")[2].isdigit()
        assert "-vme" in changes and "vme" not in known.flags
