"""In namespaces of its own: lives through the cycles benchmark's sessions, and prints each one's figures as a line of
JSON. Every cycle is lived through on one store after the other, so that what else the machine does meets all alike."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.lab.cycles_request import Request, Side
from benchmarks.lab.cycles_session import Guest, fill, session
from benchmarks.lab.store import Store
from benchmarks.lab.throttle import enter_throttled_group, measured_speeds, throttle
from builder.debian.toolbox import toolbox
from soulpad.base.errors import SoulpadError
from soulpad.base.run import run
from soulpad.session.parcels import parcels_in


def live_through(request: Request) -> None:
    """All cycles on all stores."""
    guests = [(side, prepared(side, request)) for side in request.sides]
    for cycle in range(request.cycles):
        checkpoint = cycle % request.checkpoint_every == request.checkpoint_every - 1
        for side, guest in guests:
            figures = session(guest, cycle, checkpoint=checkpoint, smooth_extents=side.variant.smooth_extents)
            print(json.dumps({"variant": side.variant.name, "cycle": cycle} | figures), flush=True)


def prepared(side: Side, request: Request) -> Guest:
    """A mounted store with a suspended, filled parcel."""
    Path("/sys/block", side.device.name, "queue/read_ahead_kb").write_text(str(side.variant.read_ahead_kib))
    store = Store(side.device, request.limits, side.root)
    store.mount()
    (parcel,) = parcels_in(side.root)
    if side.variant.cow_extent_kib:
        hint = f"cowextsize {side.variant.cow_extent_kib}k"
        run(toolbox().argv("xfs_io", "-c", hint, str(parcel.paths.folder)))
    if request.limits:
        throttle(side.device, request.limits)
        measured_speeds(side.device, side.root, request.limits)  # raises where the throttle does not hold
        throttle(side.device, None)
    guest = Guest(store, parcel, request.load)
    fill(guest)
    return guest


def main() -> int:
    """The request is the only argument."""
    try:
        enter_throttled_group()
        live_through(Request.from_fields(json.loads(sys.argv[1])))
    except SoulpadError as error:
        print(f"{error.message}\nhint: {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
