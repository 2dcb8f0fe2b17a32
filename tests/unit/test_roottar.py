"""The host root as a stream: cleaned, with our own files laid over it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from builder.host.roottar import MOUNT_POINTS, Laid, kept, merge, missing_parents


def add(archive: tarfile.TarFile, name: str, content: bytes | None = None, **fields: object) -> None:
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
    entry.mode, entry.size = (0o755, 0) if content is None else (0o644, len(content))
    for field, value in fields.items():
        setattr(entry, field, value)
    archive.addfile(entry, io.BytesIO(content) if content is not None else None)


@pytest.fixture
def root_tar(tmp_path: Path) -> Path:
    path = tmp_path / "root.tar"
    with tarfile.open(path, "w") as archive:
        for folder in ("./", "./etc", "./usr", "./usr/bin", "./dev", "./boot", "./tmp", "./var/lib/apt/lists"):
            add(archive, folder)
        add(archive, "./etc/hostname", b"builder\n")
        add(archive, "./etc/resolv.conf", b"nameserver 10.0.0.1\n")
        add(archive, "./dev/null", b"")
        add(archive, "./boot/vmlinuz", b"kernel")
        add(archive, "./tmp/leftover", b"x")
        add(archive, "./var/lib/apt/lists/index", b"x")
        add(archive, "./usr/bin/sudo", b"program", mode=0o4755, uid=0, gid=0)
        add(archive, "./usr/bin/owned", b"program", uid=101, gid=102)
        add(archive, "./usr/bin/link", b"", type=tarfile.SYMTYPE, linkname="sudo")
        add(archive, "./usr/bin/" + "long" * 40, b"long")
    return path


def merged(root_tar: Path, overlay: list[Laid]) -> tuple[dict[str, tarfile.TarInfo], dict[str, bytes], list[str]]:
    sink = io.BytesIO()
    merge(root_tar, overlay, sink)
    sink.seek(0)
    with tarfile.open(fileobj=sink) as archive:
        members = archive.getmembers()
        contents = {m.name: file.read() for m in members if m.isreg() and (file := archive.extractfile(m))}
    names = [member.name.removeprefix("./") for member in members]
    by_name = {member.name.removeprefix("./"): member for member in members}
    return by_name, {name.removeprefix("./"): content for name, content in contents.items()}, names


@pytest.mark.parametrize(
    "name", ["./dev", "./dev/null", "proc/1", "./boot/vmlinuz", "./etc/resolv.conf", "var/lib/apt/lists/x", "./run"]
)
def test_what_belongs_to_the_building_machine_is_left_out(name: str) -> None:
    assert not kept(name)


@pytest.mark.parametrize("name", ["./etc", "./developer", "./usr/dev", "./etc/resolv.conf.d/x", "./var/lib/apt", "."])
def test_what_only_looks_like_it_is_kept(name: str) -> None:
    assert kept(name)


def test_the_root_is_cleaned_and_its_mount_points_are_there(root_tar: Path) -> None:
    members, contents, names = merged(root_tar, [])
    assert set(contents) == {"etc/hostname", "usr/bin/sudo", "usr/bin/owned", "usr/bin/" + "long" * 40}
    for name, mode in MOUNT_POINTS.items():
        assert members[name].isdir() and members[name].mode == mode
    assert len(names) == len(set(names))


def test_owners_modes_and_links_are_as_they_were(root_tar: Path) -> None:
    members, _, _ = merged(root_tar, [])
    assert members["usr/bin/sudo"].mode == 0o4755
    assert (members["usr/bin/owned"].uid, members["usr/bin/owned"].gid) == (101, 102)
    assert members["usr/bin/link"].issym() and members["usr/bin/link"].linkname == "sudo"


def test_the_overlay_wins_over_the_root_and_belongs_to_root(root_tar: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"soulpad\n")
    members, contents, names = merged(root_tar, [Laid(PurePosixPath("etc/hostname"), source, 0o600)])
    assert contents["etc/hostname"] == b"soulpad\n" and names.count("etc/hostname") == 1
    entry = members["etc/hostname"]
    assert (entry.mode, entry.uid, entry.gid) == (0o600, 0, 0)


def test_folders_that_the_overlay_needs_come_before_its_files(root_tar: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.touch()
    _, _, names = merged(root_tar, [Laid(PurePosixPath("usr/lib/soulpad/lib/x.so"), source, 0o644)])
    wanted = ["usr/lib", "usr/lib/soulpad", "usr/lib/soulpad/lib", "usr/lib/soulpad/lib/x.so"]
    assert [name for name in names if name in wanted] == wanted
    assert names.count("usr") == 1


def test_only_folders_that_are_missing_are_made() -> None:
    overlay = [Laid(PurePosixPath("a/b/c"), Path(), 0), Laid(PurePosixPath("a/d/e"), Path(), 0)]
    assert missing_parents(overlay, {"a", "a/b"}) == ["a/d"]
    assert missing_parents([Laid(PurePosixPath("top"), Path(), 0)], set()) == []
