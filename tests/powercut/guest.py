"""A guest that is played: QEMU's place is taken by real stores into the RAM file and real writes to the disk file.

It knows what it wrote, tells the diary what it was promised, and finds out whether it was resumed into what it was.
"""

from __future__ import annotations

import mmap
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from soulpad.store.checkpoint import RAM_NAME, disk_name
from tests.powercut.diary import Diary, Snapshot, Synced
from tests.powercut.moments import BLOCK_BYTES, MIXED, block, content_of, numbers_in

DISK, RAM, STATE = b"disk", b"ram ", b"dev "
BLOCKS = 256  # of the disk and of the RAM
STATE_BLOCKS = 5
BREATH_SECONDS = 0.001
VMM = "QEMU 10.0.13"


class Mixed(Exception):
    """The guest was given a state that never was."""


class PlayedMachine:
    """A QEMU in ``live``, stopped. ``here``: the position in the device's log."""

    def __init__(self, live: Path, diary: Diary, here: Callable[[], int], chance: random.Random) -> None:
        self._diary, self._here, self._chance = diary, here, chance
        self.disk = list(numbers_in(DISK, live / disk_name(0)))
        self.ram = list(numbers_in(RAM, live / RAM_NAME))
        self._unsynced: dict[int, int] = {}
        self._cpu = threading.Lock()  # held by whoever uses it, and while it stands still
        self._cpu.acquire()
        self._page = mmap.mmap(-1, BLOCK_BYTES)  # O_DIRECT wants aligned memory
        self._disk_file = os.open(live / disk_name(0), os.O_RDWR | os.O_DIRECT)
        self._ram_file = os.open(live / RAM_NAME, os.O_RDWR)
        self._memory = mmap.mmap(self._ram_file, BLOCKS * BLOCK_BYTES)
        self.snapshot = self._looks()
        if MIXED in self.disk or MIXED in self.ram:
            self.kill()
            raise Mixed("the guest found blocks of no moment in live/")

    def load_device_state(self, path: Path) -> None:
        """Goes on from a state. Raises Mixed when disk and RAM are not those of its moment."""
        moment, *others = set(numbers_in(STATE, path))
        if others:
            raise Mixed("the guest was given a device state of several moments")
        self.snapshot = self._looks(moment)
        if self.snapshot != self._diary.states.get(moment):
            raise Mixed(f"the guest's disk and RAM are not those of the moment {moment} that its processor is of")

    def resume(self) -> None:
        """The CPUs run; what they do is ``work``."""
        self._cpu.release()

    @contextmanager
    def working(self) -> Iterator[None]:
        """The guest works beside whatever the block does; it stands still between ``pause`` and ``resume``."""
        over = threading.Event()

        def work_on() -> None:
            while not over.is_set():
                self.work(rounds=1)
                time.sleep(BREATH_SECONDS)

        with ThreadPoolExecutor(1) as threads:
            done = threads.submit(work_on)
            try:
                yield
            finally:
                over.set()
        done.result()

    def work(self, rounds: int) -> None:
        """Writes to memory and disk, asks for durability now and then; the kernel writes some pages back meanwhile."""
        for _ in range(rounds):
            with self._cpu:
                self._work_once()

    def _work_once(self) -> None:
        moment = self._diary.next_moment()
        for place in self._places(8):
            self._memory[place * BLOCK_BYTES : (place + 1) * BLOCK_BYTES] = block(RAM, place, moment)
            self.ram[place] = moment
        for place in self._places(4):
            self._write(place, moment)
        if self._chance.random() < 0.5:
            self.sync_disk()
        if self._chance.random() < 0.3:
            os.posix_fadvise(self._ram_file, 0, 0, os.POSIX_FADV_DONTNEED)  # starts the writing, waits for nothing

    def sync_disk(self) -> None:
        """The guest's own fsync, as QEMU passes it on."""
        os.fdatasync(self._disk_file)
        at = self._here()
        promised = self._unsynced.items()
        self._diary.synced += [Synced(at, self._diary.session, place, moment) for place, moment in promised]
        self._unsynced = {}

    def pause(self) -> None:
        """The CPUs stop; what they had begun to write is written."""
        self._cpu.acquire()

    def save_device_state(self, path: Path) -> None:
        """The moment is over: what disk and RAM are now belongs to this state."""
        moment = self._diary.next_moment()
        self.snapshot = self._diary.states[moment] = self._looks(moment)
        with path.open("r+b") as file:
            file.write(content_of(STATE, (moment,) * STATE_BLOCKS))

    def shut_down(self) -> None:
        """The guest switches itself off; its disk is what stays."""
        self.sync_disk()
        self.snapshot = Snapshot(tuple(self.disk))
        self.kill()

    def kill(self) -> None:
        """QEMU ends; what its files hold stays."""
        if not self._memory.closed:
            self._memory.close()
            os.close(self._ram_file)
            os.close(self._disk_file)

    def _looks(self, moment: int | None = None) -> Snapshot:
        return Snapshot(tuple(self.disk), tuple(self.ram), moment)

    def _places(self, most: int) -> list[int]:
        return self._chance.sample(range(BLOCKS), self._chance.randint(1, most))

    def _write(self, place: int, moment: int) -> None:
        self._page[:] = block(DISK, place, moment)
        os.pwritev(self._disk_file, [self._page], place * BLOCK_BYTES)
        self.disk[place] = self._unsynced[place] = moment


class PlayedHypervisor:
    """Starts played machines; the last one is ``machine``."""

    def __init__(self, live: Path, diary: Diary, here: Callable[[], int], chance: random.Random) -> None:
        self._start = partial(PlayedMachine, live, diary, here, chance)
        self.machine: PlayedMachine | None = None

    def vmm_version(self) -> str:
        return VMM

    def watch(self, _on_stop: object) -> None:
        """Nobody is told when the machine ends: nobody waits."""

    def start_paused(self, _xml: str) -> PlayedMachine:
        self.machine = self._start()
        return self.machine
