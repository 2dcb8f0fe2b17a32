"""The CPU classes against the QEMU that they are for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from qemu.qmp import QMPClient

from builder.pc.emulator import emulator_for
from builder.pc.machine import Window
from soulpad.base.run import Process, start
from soulpad.store.cpuclass import CLASSES, CpuClass
from soulpad.store.parcel import MACHINE_TYPE

pytestmark = pytest.mark.component

PATIENCE_SECONDS = 60  # a failure's length, never waited for otherwise
# QEMU's features that KVM offers on every PC, whatever its processor (Linux, arch/x86/kvm/cpuid.c)
OFFERED_BY_KVM = {"hypervisor", "x2apic", "arat"}


def power_on(socket: Path, known: CpuClass) -> Process:
    """A stopped PC with nothing but a processor of that class; QEMU ends at once where it cannot give all of it."""
    emulator = emulator_for(Window.NONE)
    words = ["-machine", MACHINE_TYPE, "-accel", "tcg", "-cpu", f"{known.model},enforce", "-nodefaults", "-S"]
    return start([*emulator.argv, *words, "-display", "none", "-qmp", f"unix:{socket},server"], env=emulator.env)


async def features(socket: Path, process: Process, model: str) -> set[str]:
    """What QEMU answers that a CPU model has, in its own names."""
    name, *changes = model.split(",")
    asked = {"name": name, "props": {change[1:]: change.startswith("+") for change in changes}}
    client = QMPClient()
    for _ in range(PATIENCE_SECONDS * 20):
        if socket.exists() or process.poll() is not None:
            break
        await asyncio.sleep(0.05)
    await client.connect(str(socket))
    try:
        answer = await client.execute("query-cpu-model-expansion", {"type": "static", "model": cast(Any, asked)})
    finally:
        await client.disconnect()
    properties = cast(dict[str, Any], answer)["model"]["props"]
    return {name for name, value in properties.items() if value is True}


@pytest.mark.parametrize("known", CLASSES, ids=lambda known: known.name)
def test_a_class_asks_a_pc_for_exactly_what_its_model_gives_the_guest(tmp_path: Path, known: CpuClass) -> None:
    """And it starts in emulation with ``enforce``, as a parcel does at a PC without virtualisation."""
    socket = tmp_path / "qmp"
    process = power_on(socket, known)
    try:
        given = asyncio.run(features(socket, process, known.model))
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    as_linux_says = {name.replace(".", "_").replace("-", "_") for name in given - OFFERED_BY_KVM}
    assert as_linux_says == known.flags
