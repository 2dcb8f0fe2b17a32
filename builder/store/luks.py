"""The LUKS2 header of the parcels partition: made and read as a plain file, without root and device-mapper.

cryptsetup cannot work at an offset inside a stick's image, so a header is made in a file of its own and copied into
place, and read from a copy. The header's file holds keys only as LUKS2 keeps them: wrapped by a slot's secret.

Key slots: 0 is the owner's passphrase (Argon2id with values fixed by us: left automatic they follow the PC that makes
the stick, and a smaller PC cannot unlock it). 1 is a key file, random, so that a fast KDF is enough; it is preferred,
or cryptsetup would first try it on every Argon2id slot. A token of type ``soulpad-slot`` says which slot is what:
``{"type": "soulpad-slot", "keyslots": ["0"], "role": "owner-passphrase"}``.

Source: the LUKS2 On-Disk Format Specification 1.1; cryptsetup(8).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import token_bytes
from tempfile import TemporaryDirectory
from typing import Any

from soulpad.base.errors import BadImage, ProgramFailed, StoreDamaged, WeakPassphrase, WrongPassphrase
from soulpad.base.run import run
from soulpad.base.secrets import LEAST_KEY_BYTES, Secret, as_descriptor, descriptor_path
from soulpad.base.units import SECTOR_BYTES
from soulpad.store.stick import ENCRYPTION_SECTOR_BYTES, PAYLOAD_OFFSET_BYTES

CIPHER = "aes-xts-plain64"
VOLUME_KEY_BYTES = 64  # two 256-bit keys: XTS
TOKEN_TYPE = "soulpad-slot"
OWNER_PASSPHRASE = "owner-passphrase"
KEY_FILE = "key-file"
PASSPHRASE_SLOT = 0
KEY_FILE_SLOT = 1

_KEY_FILE_ITERATIONS = 1000  # of PBKDF2, cryptsetup's least: the key is random, stretching adds nothing
_SECOND_HEADER_BYTES = 16384  # where the second copy of the metadata lies, with cryptsetup's own sizes
_MAGICS = ((0, b"LUKS\xba\xbe"), (_SECOND_HEADER_BYTES, b"SKUL\xba\xbe"))


@dataclass(frozen=True)
class LuksSpec:
    """What stretching the passphrase costs whoever unlocks.

    256 MiB is what a PC of 2 GiB can spare. In emulation that takes half a minute: give 64 MiB there.
    """

    argon2_memory_kib: int = 256 * 1024
    argon2_iterations: int = 4
    argon2_parallel: int = 2


@dataclass(frozen=True)
class KeySlot:
    """A way to open the store. ``memory_kib`` and ``parallel`` are 0 with a KDF that knows none.

    ``role``: what our token says of it, None where no token does. ``preferred``: tried before the others.
    """

    number: int
    kdf: str
    iterations: int
    memory_kib: int
    parallel: int
    preferred: bool
    role: str | None


@dataclass(frozen=True)
class LuksHeader:
    """What the header tells to everybody who holds the stick."""

    uuid: str
    payload_offset_bytes: int
    sector_bytes: int
    cipher: str
    volume_key_bytes: int
    slots: tuple[KeySlot, ...]


def format_argv(header: Path, spec: LuksSpec, volume_key_path: str) -> list[str]:
    """Makes a header whose slot 0 opens with what comes on stdin, every byte of it."""
    return [
        *("cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2"),
        *("--cipher", CIPHER, "--key-size", str(VOLUME_KEY_BYTES * 8), "--volume-key-file", volume_key_path),
        *("--sector-size", str(ENCRYPTION_SECTOR_BYTES), "--offset", str(PAYLOAD_OFFSET_BYTES // SECTOR_BYTES)),
        *("--pbkdf", "argon2id", "--pbkdf-force-iterations", str(spec.argon2_iterations)),
        *("--pbkdf-memory", str(spec.argon2_memory_kib), "--pbkdf-parallel", str(spec.argon2_parallel)),
        *("--key-slot", str(PASSPHRASE_SLOT), "--key-file", "-", str(header)),
    ]


def add_key_file_argv(header: Path, volume_key_path: str, key_path: str) -> list[str]:
    """Adds the slot of a random key file."""
    return [
        *("cryptsetup", "luksAddKey", "--batch-mode", "--volume-key-file", volume_key_path),
        *("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", str(_KEY_FILE_ITERATIONS)),
        *("--new-key-slot", str(KEY_FILE_SLOT), str(header), key_path),
    ]


def prefer_slot_argv(header: Path, slot: int) -> list[str]:
    """Lets cryptsetup try this slot before the others."""
    return ["cryptsetup", "config", "--priority", "prefer", "--key-slot", str(slot), str(header)]


def import_token_argv(header: Path, slot: int) -> list[str]:
    """Takes a token from stdin, under the slot's number."""
    return ["cryptsetup", "token", "import", "--json-file", "-", "--token-id", str(slot), str(header)]


def slot_token(slot: int, role: str) -> bytes:
    """The token that says what a slot is."""
    return json.dumps({"type": TOKEN_TYPE, "keyslots": [str(slot)], "role": role}).encode()


def make_header(header: Path, passphrase: Secret, key_file: Secret | None, spec: LuksSpec) -> Secret:
    """Makes a header file with a new volume key, which is returned and lies nowhere else.

    The file is of PAYLOAD_OFFSET_BYTES and one sector, without which cryptsetup warns of having no room.
    """
    volume_key = Secret(token_bytes(VOLUME_KEY_BYTES))
    with header.open("xb") as file:
        file.truncate(PAYLOAD_OFFSET_BYTES + ENCRYPTION_SECTOR_BYTES)
    with as_descriptor(volume_key) as descriptor:
        argv = format_argv(header, spec, descriptor_path(descriptor))
        run(argv, stdin=passphrase.reveal(), pass_fds=[descriptor])
    _say_role(header, PASSPHRASE_SLOT, OWNER_PASSPHRASE)
    if key_file:
        add_key_file(header, volume_key, key_file)
    return volume_key


def add_key_file(header: Path, volume_key: Secret, key_file: Secret) -> None:
    """Gives a key file its slot. Raises WeakPassphrase when it is too short to be random: its KDF is fast."""
    if len(key_file) < LEAST_KEY_BYTES:
        raise WeakPassphrase(f"the key file has {len(key_file)} bytes", f"use {LEAST_KEY_BYTES} random bytes or more")
    with as_descriptor(volume_key) as volume, as_descriptor(key_file) as key:
        argv = add_key_file_argv(header, descriptor_path(volume), descriptor_path(key))
        run(argv, pass_fds=[volume, key])
    run(prefer_slot_argv(header, KEY_FILE_SLOT))
    _say_role(header, KEY_FILE_SLOT, KEY_FILE)


def read_header(path: Path, offset_bytes: int = 0) -> LuksHeader:
    """The header of the LUKS2 partition that starts at ``offset_bytes`` of an image or device.

    Raises BadImage where there is none, StoreDamaged when both copies of its metadata are.
    """
    with TemporaryDirectory(prefix="soulpad-header-") as folder:
        copy = Path(folder) / "header"
        copy_header(path, offset_bytes, copy)
        uuid = run(["cryptsetup", "luksUUID", copy]).stdout.strip()
        metadata = run(["cryptsetup", "luksDump", "--dump-json-metadata", copy]).stdout
    return parse_metadata(uuid, metadata)


def copy_header(path: Path, offset_bytes: int, copy: Path) -> None:
    """Copies a partition's LUKS2 header to a file of its own, one that cryptsetup can read.

    Where only one of the two copies of the metadata is whole, cryptsetup repairs the other, in our copy alone.
    Raises BadImage or StoreDamaged.
    """
    with path.open("rb") as file:
        file.seek(offset_bytes)
        content = file.read(PAYLOAD_OFFSET_BYTES)
    if not any(content.startswith(magic, position) for position, magic in _MAGICS):
        raise BadImage(f"{path} has no encrypted store at byte {offset_bytes}", "name a stick or its whole image")
    if len(content) < PAYLOAD_OFFSET_BYTES:
        raise BadImage(f"{path} ends inside the store's header", "copy the image again, it is not whole")
    copy.write_bytes(content)
    try:
        run(["cryptsetup", "isLuks", "--type", "luks2", copy])
    except ProgramFailed:
        raise StoreDamaged(
            f"{path}: the store's LUKS2 header is damaged, in both of its copies",
            "write the header back from a backup of the stick; without it the store cannot be opened",
        ) from None


def parse_metadata(uuid: str, metadata: str) -> LuksHeader:
    """The header that LUKS2's JSON metadata describe. Raises StoreDamaged."""
    try:
        fields = json.loads(metadata)
        segment = fields["segments"]["0"]
        roles = _roles(fields["tokens"].values())
        slots = [_slot(int(number), slot, roles) for number, slot in fields["keyslots"].items()]
        return LuksHeader(
            uuid=uuid,
            payload_offset_bytes=int(segment["offset"]),
            sector_bytes=int(segment["sector_size"]),
            cipher=str(segment["encryption"]),
            volume_key_bytes=max((int(slot["key_size"]) for slot in fields["keyslots"].values()), default=0),
            slots=tuple(sorted(slots, key=lambda slot: slot.number)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreDamaged(f"the store's LUKS2 header is damaged: {error!r}", "restore the header's backup") from None


def volume_key(header: Path, secret: Secret) -> Secret:
    """The key of the payload, from a header file. Raises WrongPassphrase when the secret opens no slot.

    cryptsetup gives it in hexadecimal on its standard output, a pipe to us: so it never lies in a file.
    """
    argv = ["cryptsetup", "luksDump", "--batch-mode", "--dump-volume-key", "--key-file", "-", str(header)]
    # Exit code 2, "no permission", is a wrong passphrase. Nothing at all would be another error to cryptsetup.
    said = run(argv, stdin=secret.reveal(), ok_codes=(0, 2)).stdout if len(secret) else ""
    if not said:
        raise WrongPassphrase("no key slot of the store opens with this", "try again; mind the keyboard's layout")
    dump = re.search(r"MK dump:((?:\s+[0-9a-f]{2}\b)+)", said)
    if not dump:
        raise ProgramFailed("cryptsetup gave the volume key in a form that is not known")
    return Secret(bytes.fromhex(dump[1]))


def _say_role(header: Path, slot: int, role: str) -> None:
    run(import_token_argv(header, slot), stdin=slot_token(slot, role))


def _roles(tokens: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    ours = (token for token in tokens if token["type"] == TOKEN_TYPE)
    return {int(slot): str(token["role"]) for token in ours for slot in token["keyslots"]}


def _slot(number: int, fields: Mapping[str, Any], roles: Mapping[int, str]) -> KeySlot:
    kdf = fields["kdf"]
    return KeySlot(
        number=number,
        kdf=str(kdf["type"]),
        iterations=int(kdf.get("time") or kdf["iterations"]),
        memory_kib=int(kdf.get("memory", 0)),
        parallel=int(kdf.get("cpus", 0)),
        preferred=fields.get("priority") == 2,
        role=roles.get(number),
    )
