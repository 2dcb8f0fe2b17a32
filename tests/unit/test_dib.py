"""Building roots: what decides the key, what the log says, what the tar keeps, what is left mounted."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from builder.debian import dib
from builder.debian.chroot_scratch import mounts_below
from builder.debian.dib import build_root, dib_environment, last_complaint, local_elements, prune, root_key
from builder.debian.mirror import DebianMirror
from builder.debian.tidy_tar import EMPTIED, belongs, clean_tar
from builder.places import CACHE
from soulpad.base.errors import BadInput
from soulpad.base.progress import Silent


@pytest.fixture
def elements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two folders of elements: ``guest`` needs ``base``, which is in the other folder, and one that is not ours."""
    files = {
        "one/guest/element-deps": "base\ndebian-minimal\n",
        "one/guest/static/etc/motd": "hello",
        "two/base/post-install.d/50-base": "#!/bin/sh\n",
        "two/other/package-installs.yaml": "vim:\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(dib, "ELEMENT_FOLDERS", (tmp_path / "one", tmp_path / "two"))
    monkeypatch.setattr(dib, "ROOTS", tmp_path / "roots")
    (tmp_path / "roots").mkdir()
    return tmp_path


def test_elements_bring_those_they_depend_on(elements: Path) -> None:
    found = local_elements(["guest"], dib.ELEMENT_FOLDERS)
    assert found == [elements / "two/base", elements / "one/guest"]


def test_the_key_is_the_same_as_long_as_nothing_changes(elements: Path) -> None:
    key = root_key(["guest"], {"DIB_A": "1"})
    (elements / "two/other/package-installs.yaml").write_text("emacs:\n")  # nobody depends on it
    (elements / "one/guest/__pycache__").mkdir()
    (elements / "one/guest/__pycache__/x.pyc").write_bytes(b"compiled")
    assert root_key(["guest"], {"DIB_A": "1"}) == key


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "one/guest/static/etc/motd").write_text("hallo"),
        lambda root: (root / "two/base/post-install.d/50-base").chmod(0o755),
        lambda root: (root / "two/base/post-install.d/50-base").rename(root / "two/base/post-install.d/60-base"),
        lambda root: (root / "one/guest/static/link").symlink_to("elsewhere"),
        lambda root: (root / "one/guest/element-deps").write_text("base\nother\n"),
    ],
)
def test_the_key_changes_with_any_file_that_counts(elements: Path, change: object) -> None:
    before = root_key(["guest"], {})
    change(elements)  # type: ignore[operator]
    assert root_key(["guest"], {}) != before


def test_the_key_changes_with_elements_and_settings(elements: Path) -> None:
    keys = {root_key(["guest"], {}), root_key(["guest", "other"], {}), root_key(["guest"], {"DIB_A": "1"})}
    assert len(keys | {root_key(["guest"], {"DIB_A": "2"})}) == 4


def test_a_root_in_the_cache_needs_no_building_and_no_root(elements: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    cached = elements / f"roots/r-{root_key(['guest'], {})}.tar"
    cached.touch()
    assert build_root("r", ["guest"], {}, Silent()) == cached


def test_building_without_root_says_how_to_get_it(elements: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(BadInput) as refused:
        build_root("r", ["guest"], {}, Silent())
    assert "sudo" in refused.value.hint


def test_only_the_two_last_used_of_a_name_are_kept(tmp_path: Path) -> None:
    for age, digit in enumerate("abcd"):
        path = tmp_path / f"host-{digit * 16}.tar"
        path.touch()
        os.utime(path, (1000 - age, 1000 - age))
    others = [tmp_path / f"host-minimal-{'a' * 16}.tar", tmp_path / "host-notes.tar"]
    for other in others:
        other.touch()
        os.utime(other, (1, 1))
    prune(tmp_path, "host", "tar")
    kept = {f"host-{digit * 16}.tar" for digit in "ab"} | {other.name for other in others}
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_everything_dib_leaves_behind_is_below_our_cache(tmp_path: Path) -> None:
    environment = dib_environment(
        tmp_path, {"DIB_RELEASE": "sid"}, DebianMirror("http://m/debian", "http://m/security")
    )
    assert environment["TMP_DIR"] == str(tmp_path)
    assert environment["DIB_RELEASE"] == "sid"  # the caller's settings win
    for name in ("DIB_IMAGE_CACHE", "DIB_LOCKFILES"):
        assert environment[name].startswith(str(CACHE))


def test_of_a_long_log_the_error_is_told_and_not_the_cleaning_up_after_it() -> None:
    log = """\
2026-11-21 06:32:07.888 | Setting up adduser
2026-11-21 06:32:08.000 | E: Unable to locate package linux-image-nonsense
2026-11-21 06:32:09.000 | Unmount /tmp/dib_build.x/mnt/proc
2026-11-21 06:32:09.100 |
"""
    assert last_complaint(log) == "E: Unable to locate package linux-image-nonsense"
    assert last_complaint("2026-11-21 06:32:07.888 | one\n2026-11-21 06:32:07.999 | two\n") == "two"
    assert last_complaint("") == "it said nothing"


MOUNTS = """\
/dev/vda / ext4 rw 0 0
proc /cache/dib/guest-1/mnt/proc proc rw 0 0
devtmpfs /cache/dib/guest-1/mnt/dev devtmpfs rw 0 0
devpts /cache/dib/guest-1/mnt/dev/pts devpts rw 0 0
tmpfs /cache/dib/guest-12/mnt tmpfs rw 0 0
tmpfs /cache/dib/guest-1/a\\040b tmpfs rw 0 0
"""


def test_what_was_mounted_last_is_unmounted_first_and_only_ours() -> None:
    folder = Path("/cache/dib/guest-1")
    points = [folder / "a b", folder / "mnt/dev/pts", folder / "mnt/dev", folder / "mnt/proc"]
    assert mounts_below(folder, MOUNTS) == points


# --- cleaning the tar


def dirty_tar(path: Path) -> None:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("dev", "tmp", "etc", "usr", "var/lib/apt/lists"):
            folder = tarfile.TarInfo(f"./{name}")
            folder.type, folder.mode = tarfile.DIRTYPE, 0o700
            archive.addfile(folder)
        device = tarfile.TarInfo("./dev/vda")
        device.type, device.devmajor = tarfile.BLKTYPE, 254
        archive.addfile(device)
        for name in ("etc/resolv.conf", "etc/hosts", "var/lib/apt/lists/mirror", "usr/ping", f"usr/{'long/' * 50}name"):
            entry = tarfile.TarInfo(f"./{name}")
            content = name.encode() * 1000
            entry.size, entry.uid, entry.mode = len(content), 4711, 0o4755
            if name == "usr/ping":
                entry.pax_headers = {"SCHILY.xattr.security.capability": "\x01\udc80\udcff"}
            archive.addfile(entry, io.BytesIO(content))


def test_devices_and_traces_of_the_building_machine_are_dropped(tmp_path: Path) -> None:
    dirty_tar(tmp_path / "dirty.tar")
    clean_tar(tmp_path / "dirty.tar", tmp_path / "clean.tar", Silent())
    with tarfile.open(tmp_path / "clean.tar") as archive:
        names = [name.removeprefix("./") for name in archive.getnames()]
        proc, tmp = archive.getmember("./proc"), archive.getmember("./tmp")
    assert sorted(names) == sorted(["etc", "usr", "etc/hosts", "usr/ping", f"usr/{'long/' * 50}name", *EMPTIED])
    assert proc.isdir()
    assert tmp.mode == 0o1777


def test_what_stays_keeps_content_owner_mode_and_attributes(tmp_path: Path) -> None:
    dirty_tar(tmp_path / "dirty.tar")
    clean_tar(tmp_path / "dirty.tar", tmp_path / "clean.tar", Silent())
    with tarfile.open(tmp_path / "dirty.tar") as dirty, tarfile.open(tmp_path / "clean.tar") as clean:
        for name in ("./etc/hosts", "./usr/ping", f"./usr/{'long/' * 50}name"):
            before, after = dirty.getmember(name), clean.getmember(name)
            assert (after.uid, after.mode, after.pax_headers) == (before.uid, before.mode, before.pax_headers)
            was, now = dirty.extractfile(before), clean.extractfile(after)
            assert was and now and was.read() == now.read()


def test_a_name_that_only_begins_alike_stays() -> None:
    assert belongs("./device") and belongs("./etc/resolv.conf.d/x") and belongs("./usr/tmp/x")
    assert not belongs("./dev/null") and not belongs("./tmp")
