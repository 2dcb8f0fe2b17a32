"""In the host's root: what a benchmark's part there begins with, and how it ends."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.lab.guest import GuestSerial, announce
from benchmarks.lab.store import Store
from benchmarks.lab.throttle import Speeds, measured_speeds, throttle
from soulpad.base.errors import SoulpadError
from soulpad.session import volume
from soulpad.session.machine import VM_USER, vm_user_id
from soulpad.session.thispc import ThisPc
from soulpad.session.viewer import prepare_socket_folder
from soulpad.vm.hypervisor import Hypervisor

LIBVIRT_ROOT = Path("/run/soulpad-libvirt")
# Emulated in software: KVM does not work inside every laboratory machine.
PC = ThisPc(memory_mib=0, kvm=False, virtualisation_flag=None)


@dataclass(frozen=True)
class Inside:
    """A host as the session finds it: the store mounted, libvirt at hand, a guest's serial port that leads to us.
    ``speeds``: what the throttled device really does."""

    store: Store
    speeds: Speeds
    hypervisor: Hypervisor
    vmm: str
    port: GuestSerial


def set_up(device: Path, limits: Speeds, throttled: Path | None = None) -> Inside:
    """``throttled``: the device below ``device`` that is made slow, if that is another. Raises ProgramFailed when the
    throttle does not hold."""
    store = Store(device, limits)
    store.mount()
    volume.MAPPED = device  # where the product finds its read-ahead
    throttle(throttled or device, limits)
    speeds = measured_speeds(device, store.root, limits)
    throttle(throttled or device, None)
    prepare_socket_folder(vm_user_id())
    hypervisor = Hypervisor(LIBVIRT_ROOT, VM_USER, "kvm")
    version = hypervisor.vmm_version()  # the session has asked for it while the user typed
    port = GuestSerial()
    announce(port)
    return Inside(store, speeds, hypervisor, version, port)


def answer(measure: Callable[[dict[str, Any]], dict[str, Any]]) -> NoReturn:
    """Prints as JSON what ``measure`` makes of the request, which is the only argument; ends the process.

    libvirt's threads are still at work then: an orderly end of the interpreter would wait for them.
    """
    code = 1
    try:
        print(json.dumps(measure(json.loads(sys.argv[1]))), flush=True)
        code = 0
    except SoulpadError as error:
        print(f"{error.message}\nhint: {error.hint}", file=sys.stderr, flush=True)
        code = error.exit_code
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(code)
