"""In the host's root: measures one side of the resume benchmark at one size, and prints its figures as JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.lab import resume_managed, resume_ours
from benchmarks.lab.guest import GuestSerial, announce
from benchmarks.lab.resume_request import Request
from benchmarks.lab.store import Store
from benchmarks.lab.throttle import measured_speeds, throttle
from soulpad.base.errors import SoulpadError
from soulpad.session import volume
from soulpad.session.machine import VM_USER, vm_user_id
from soulpad.session.viewer import prepare_socket_folder
from soulpad.vm.hypervisor import Hypervisor

LIBVIRT_ROOT = Path("/run/soulpad-libvirt")


def measure(request: Request) -> dict[str, Any]:
    """The figures of every run, the measured speeds of the throttled device, and QEMU's version."""
    store = Store(request.device, request.limits)
    store.mount()
    volume.MAPPED = request.device  # where the product finds its read-ahead
    throttle(request.device, request.limits)
    speeds = measured_speeds(request.device, store.root, request.limits)
    throttle(request.device, None)
    prepare_socket_folder(vm_user_id())
    hypervisor = Hypervisor(LIBVIRT_ROOT, VM_USER, "kvm")
    version = hypervisor.vmm_version()  # the session has asked for it while the user typed
    port = GuestSerial()
    announce(port)
    if request.side == "ours":
        runs = resume_ours.measure(request, store, hypervisor, port)
    else:
        runs = resume_managed.measure(request, store, LIBVIRT_ROOT, port)
    return {"runs": runs, "speeds": speeds.to_fields(), "vmm": version}


def main() -> int:
    """The request is the only argument."""
    try:
        print(json.dumps(measure(Request.from_fields(json.loads(sys.argv[1])))), flush=True)
    except SoulpadError as error:
        print(f"{error.message}\nhint: {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    # libvirt's threads are still at work: an orderly end of the interpreter would wait for them.
    code = main()
    sys.stdout.flush()
    os._exit(code)
