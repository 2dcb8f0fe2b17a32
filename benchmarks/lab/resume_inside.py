"""In the host's root: measures one side of the resume benchmark at one size, and prints its figures as JSON."""

from __future__ import annotations

from typing import Any

from benchmarks.lab import resume_desktop, resume_managed, resume_ours
from benchmarks.lab.inside import LIBVIRT_ROOT, answer, set_up
from benchmarks.lab.resume_request import Request


def measure(fields: dict[str, Any]) -> dict[str, Any]:
    """The figures of every run, the measured speeds of the throttled device, and QEMU's version."""
    request = Request.from_fields(fields)
    inside = set_up(request.device, request.limits)
    if request.side == "ours":
        ours = resume_desktop.ours if request.heap_mib else resume_ours.measure
        runs = ours(request, inside.store, inside.hypervisor, inside.port)
    else:
        managed = resume_desktop.managed_save if request.heap_mib else resume_managed.measure
        runs = managed(request, inside.store, LIBVIRT_ROOT, inside.port)
    return {"runs": runs, "speeds": inside.speeds.to_fields(), "vmm": inside.vmm}


if __name__ == "__main__":
    answer(measure)
