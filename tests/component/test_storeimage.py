"""A store written into a stick's image and read back, with cryptsetup and Linux as judges."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path, PurePosixPath

import pytest

from builder.debian.toolbox import toolbox
from builder.store import luks, storeimage, xfs, xfsread, xts
from builder.store.luks import LuksSpec
from soulpad.base.errors import BadImage, NoSpace, ProgramFailed, WeakPassphrase, WrongPassphrase
from soulpad.base.progress import Silent
from soulpad.base.run import run
from soulpad.base.secrets import Secret, generate_key, generate_passphrase
from soulpad.base.units import MIB

pytestmark = pytest.mark.component

CHEAP = LuksSpec(argon2_memory_kib=1024, argon2_iterations=4, argon2_parallel=1)
OFFSET = 3 * MIB
SIZE = 336 * MIB
DISK_BYTES = 400 * MIB  # sparse: larger than the store
PASSPHRASE = generate_passphrase()
KEY = generate_key()
MARKER = b"what the user wrote into a document"
PARCEL = PurePosixPath("parcels/6dd3e6d0")
DISK = PARCEL / "checkpoints/1/disk-0.img"


@pytest.fixture(scope="module")
def tool() -> xfs.ToolArgv:
    return toolbox().argv


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> dict[PurePosixPath, xfs.Content]:
    disk = tmp_path_factory.mktemp("guest") / "disk.img"
    with disk.open("wb") as file:
        file.truncate(DISK_BYTES)
        for position in (0, 300 * MIB, DISK_BYTES - 2 * MIB):
            file.seek(position)
            file.write(MARKER + os.urandom(MIB))
    return {PARCEL / "parcel.json": b'{"name": "' + MARKER + b'"}', DISK: disk, PARCEL / "live": None}


def blank(path: Path) -> Path:
    """A stick's image with something before and behind the parcels partition."""
    with path.open("wb") as file:
        file.write(b"before")
        file.seek(OFFSET + SIZE)
        file.write(b"behind")
        file.truncate(OFFSET + SIZE + MIB)
    return path


def write(image: Path, tree: xfs.Tree, tool: xfs.ToolArgv, scratch: Path, progress: Silent | None = None) -> None:
    storeimage.write_store(image, OFFSET, SIZE, tree, PASSPHRASE, KEY, CHEAP, tool, progress or Silent(), scratch)


@pytest.fixture(scope="module")
def stick(tmp_path_factory: pytest.TempPathFactory, tree: xfs.Tree, tool: xfs.ToolArgv) -> Path:
    folder = tmp_path_factory.mktemp("stick")
    image = blank(folder / "stick.img")
    write(image, tree, tool, folder / "scratch")
    assert list((folder / "scratch").iterdir()) == []
    return image


def require_tree(plain: Path, tree: xfs.Tree, tool: xfs.ToolArgv, folder: Path) -> None:
    """The plain image is a clean file system that holds the tree."""
    xfs.check_xfs(plain, tool)
    assert set(tree) <= set(xfsread.list_tree(plain, tool))
    assert xfsread.read_file(plain, PARCEL / "parcel.json", tool) == tree[PARCEL / "parcel.json"]
    xfsread.extract_file(plain, DISK, folder / "disk.img", tool)
    run(["cmp", folder / "disk.img", str(tree[DISK])])


@pytest.mark.parametrize("secret", [PASSPHRASE, KEY], ids=["passphrase", "key file"])
def test_either_secret_opens_the_store_and_all_is_there(
    tmp_path: Path, stick: Path, tree: xfs.Tree, tool: xfs.ToolArgv, secret: Secret
) -> None:
    plain = storeimage.open_store(stick, OFFSET, SIZE, secret, tmp_path)
    assert list(tmp_path.iterdir()) == [plain]
    assert plain.stat().st_mode & 0o077 == 0
    assert plain.stat().st_blocks * 512 < 16 * MIB
    require_tree(plain, tree, tool, tmp_path)


def test_the_image_holds_no_more_than_the_contents_and_no_clear_text(stick: Path) -> None:
    assert stick.stat().st_blocks * 512 < 110 * MIB  # header 16, log 64, data 3
    raw = stick.read_bytes()
    assert raw.startswith(b"before")
    assert raw[OFFSET + SIZE :].startswith(b"behind")
    for word in (MARKER, b"XFSB", b"parcel.json", b"disk-0.img", PASSPHRASE.reveal(), KEY.reveal()):
        assert word not in raw


def test_the_volume_key_lies_nowhere_beside_the_image(tmp_path: Path, stick: Path) -> None:
    luks.copy_header(stick, OFFSET, tmp_path / "header.img")
    volume_key = luks.volume_key(tmp_path / "header.img", PASSPHRASE).reveal()
    left = [path for path in stick.parent.rglob("*") if path.is_file()]
    assert left == [stick]
    assert not [path for path in (*left, tmp_path / "header.img") if volume_key in path.read_bytes()]


def test_cryptsetup_takes_the_extracted_partition(tmp_path: Path, stick: Path) -> None:
    partition = tmp_path / "partition.img"
    with partition.open("wb") as target, stick.open("rb") as source:
        source.seek(OFFSET)
        target.write(source.read(20 * MIB))
        target.truncate(SIZE)
    test = ["cryptsetup", "open", "--test-passphrase", "--key-file", "-", str(partition)]
    for secret in (PASSPHRASE, KEY):
        run(test, stdin=secret.reveal())
    with pytest.raises(ProgramFailed, match="No key available"):
        run(test, stdin=b"a wrong passphrase of good length")
    header = luks.read_header(stick, OFFSET)
    assert [(slot.role, slot.memory_kib) for slot in header.slots] == [("owner-passphrase", 1024), ("key-file", 0)]


def test_a_wrong_passphrase_leaves_nothing(tmp_path: Path, stick: Path) -> None:
    with pytest.raises(WrongPassphrase):
        storeimage.open_store(stick, OFFSET, SIZE, Secret(b"a wrong passphrase of good length"), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", [OFFSET + MIB, OFFSET + 17 * MIB])
def test_a_cut_image_is_refused_and_leaves_nothing(tmp_path: Path, stick: Path, cut: int) -> None:
    part, scratch = tmp_path / "part.img", tmp_path / "scratch"
    run(["cp", "--sparse=always", stick, part])
    os.truncate(part, cut)
    with pytest.raises(BadImage):
        storeimage.open_store(part, OFFSET, SIZE, PASSPHRASE, scratch)
    assert not scratch.exists() or list(scratch.iterdir()) == []


def test_garbage_in_free_space_does_no_harm(tmp_path: Path, stick: Path, tree: xfs.Tree, tool: xfs.ToolArgv) -> None:
    """A stick is written to over what it held before, and a used one has old ciphertext in its free blocks."""
    used = tmp_path / "used.img"
    run(["cp", "--sparse=always", stick, used])
    noise = random.Random(1).randbytes(MIB)
    start, end = OFFSET + 16 * MIB, OFFSET + SIZE
    with used.open("r+b") as file:
        for position in range(start, end, 64 * 1024):
            file.seek(position)
            if not any(file.read(64 * 1024)):
                file.seek(position)
                file.write(noise[: 64 * 1024])
    assert used.stat().st_blocks * 512 > SIZE * 9 // 10
    require_tree(storeimage.open_store(used, OFFSET, SIZE, PASSPHRASE, tmp_path), tree, tool, tmp_path)


def test_writing_again_to_what_was_opened_is_read_again(
    tmp_path: Path, stick: Path, tree: xfs.Tree, tool: xfs.ToolArgv
) -> None:
    """A change made inside the payload, sector by sector, as the running host makes it."""
    changed = tmp_path / "changed.img"
    run(["cp", "--sparse=always", stick, changed])
    plain = storeimage.open_store(changed, OFFSET, SIZE, PASSPHRASE, tmp_path)
    luks.copy_header(changed, OFFSET, tmp_path / "header.img")
    volume_key = luks.volume_key(tmp_path / "header.img", KEY)
    free = next(end for _, end in xfs.used_ranges(plain, tool))
    with plain.open("r+b") as file:
        file.seek(free)
        file.write(MARKER.ljust(4096, b"."))
    payload = OFFSET + 16 * MIB
    xts.encrypt(plain, changed, payload, [(free, free + 4096)], volume_key, Silent())
    again = storeimage.open_store(changed, OFFSET, SIZE, KEY, tmp_path)
    run(["cmp", plain, again])
    assert MARKER not in changed.read_bytes()[payload + free : payload + free + 4096]


def test_a_tree_that_does_not_fit_leaves_image_and_scratch_as_they_were(
    tmp_path: Path, tree: xfs.Tree, tool: xfs.ToolArgv
) -> None:
    image, scratch = blank(tmp_path / "stick.img"), tmp_path / "scratch"
    before = image.stat()
    with pytest.raises(NoSpace, match="parcels need"):
        write(image, {**tree, PurePosixPath("big"): bytes(300 * MIB)}, tool, scratch)
    assert list(scratch.iterdir()) == []
    assert (image.stat().st_blocks, image.stat().st_mtime_ns) == (before.st_blocks, before.st_mtime_ns)


class StopAt(Silent):
    """Ctrl-C at a step."""

    def __init__(self, name: str) -> None:
        self.name = name

    def step(self, name: str) -> None:
        if name.startswith(self.name):
            raise KeyboardInterrupt


class StopAmidst(Silent):
    """Ctrl-C while bytes are on their way."""

    def advance(self, done_bytes: int, total_bytes: int) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize("progress", [StopAt("Laying"), StopAt("Making"), StopAt("Encrypting"), StopAmidst()])
def test_ctrl_c_leaves_no_clear_text_and_no_store(
    tmp_path: Path, tree: xfs.Tree, tool: xfs.ToolArgv, progress: Silent
) -> None:
    image, scratch = blank(tmp_path / "stick.img"), tmp_path / "scratch"
    with pytest.raises(KeyboardInterrupt):
        write(image, tree, tool, scratch, progress)
    assert list(scratch.iterdir()) == []
    with pytest.raises(BadImage, match="no encrypted store"):
        luks.read_header(image, OFFSET)
    assert MARKER not in image.read_bytes()


def test_ctrl_c_while_opening_leaves_no_clear_text(tmp_path: Path, stick: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        storeimage.open_store(stick, OFFSET, SIZE, PASSPHRASE, tmp_path, StopAmidst())
    assert list(tmp_path.iterdir()) == []


def test_a_short_key_file_is_refused_and_leaves_nothing(tmp_path: Path, tree: xfs.Tree, tool: xfs.ToolArgv) -> None:
    image, scratch = blank(tmp_path / "stick.img"), tmp_path / "scratch"
    with pytest.raises(WeakPassphrase):
        storeimage.write_store(image, OFFSET, SIZE, tree, PASSPHRASE, Secret(b"short"), CHEAP, tool, Silent(), scratch)
    assert list(scratch.iterdir()) == []


FULL_DISK = """
import subprocess, sys
from pathlib import Path
from builder.store import storeimage
from soulpad.base.errors import NoSpace
from soulpad.base.secrets import Secret
image, passphrase_file, scratch = map(Path, sys.argv[1:4])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=18m", "tmpfs", scratch], check=True)
try:
    storeimage.open_store(image, int(sys.argv[4]), int(sys.argv[5]), Secret(passphrase_file.read_bytes()), scratch)
except NoSpace as error:
    print(error.message, [path.name for path in scratch.iterdir()])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, tool: xfs.ToolArgv) -> None:
    image, scratch = blank(tmp_path / "stick.img"), tmp_path / "scratch"
    write(image, {PurePosixPath("big"): os.urandom(20 * MIB)}, tool, scratch)
    (tmp_path / "passphrase").write_bytes(PASSPHRASE.reveal())
    unshared = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", FULL_DISK]
    said = run([*unshared, image, tmp_path / "passphrase", scratch, str(OFFSET), str(SIZE)])
    assert said.stdout.strip() == "this machine's disk is full []"


@pytest.mark.skipif(os.geteuid() != 0, reason="cryptsetup encrypts in place for root alone")
def test_what_cryptsetup_itself_encrypted_is_read(tmp_path: Path) -> None:
    """cryptsetup's own encryption in place is the judge of ours: same cipher, sectors, tweaks, offset."""
    content = random.Random(2).randbytes(24 * MIB)
    image = tmp_path / "image"
    image.write_bytes(content + bytes(32 * MIB))
    run(
        [
            *("cryptsetup", "reencrypt", "--batch-mode", "--encrypt", "--type", "luks2"),
            *("--cipher", luks.CIPHER, "--key-size", "512", "--sector-size", "4096"),
            *("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"),
            *("--reduce-device-size", "32M", "--key-file", "-", str(image)),
        ],
        stdin=PASSPHRASE.reveal(),
    )
    plain = storeimage.open_store(image, 0, 56 * MIB, PASSPHRASE, tmp_path)
    assert plain.read_bytes()[: len(content)] == content
