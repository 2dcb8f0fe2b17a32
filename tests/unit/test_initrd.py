"""Our small initramfs images: which modules, in which order, and the same bytes each time."""

from __future__ import annotations

import lzma
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.debian.initrd import (
    load_order,
    make_initrd,
    module_name,
    pack,
    parse_dependencies,
    uncompressed,
    wanted_modules,
)
from builder.places import HOSTOS, IMAGES
from soulpad.base.errors import BadInput
from soulpad.base.run import run

DEP = """\
kernel/usb/usb-common.ko.xz:
kernel/usb/usbcore.ko.xz: kernel/usb/usb-common.ko.xz
kernel/usb/xhci-hcd.ko.xz: kernel/usb/usbcore.ko.xz kernel/usb/usb-common.ko.xz
kernel/usb/xhci-pci.ko.xz: kernel/usb/xhci-hcd.ko.xz kernel/usb/usbcore.ko.xz kernel/usb/usb-common.ko.xz
kernel/usb/uas.ko.xz: kernel/usb/usbcore.ko.xz kernel/usb/usb-common.ko.xz
kernel/sound/beep.ko.xz:
"""


@pytest.mark.parametrize("suffix", [".ko", ".ko.xz", ".ko.zst"])
def test_a_modules_name_has_underscores_and_no_suffix(suffix: str) -> None:
    assert module_name(f"kernel/drivers/usb/host/xhci-pci{suffix}") == "xhci_pci"


def test_each_module_comes_after_those_it_needs_and_only_once() -> None:
    order = load_order(["xhci_pci", "uas", "xhci_pci"], parse_dependencies(DEP), [])
    assert [module_name(path) for path in order] == ["usb_common", "usbcore", "xhci_hcd", "xhci_pci", "uas"]


def test_what_the_kernel_holds_is_not_loaded() -> None:
    assert load_order(["xhci_pci", "uas"], parse_dependencies(DEP), ["xhci_pci", "uas"]) == []


def test_a_module_that_this_kernel_lacks_is_named() -> None:
    with pytest.raises(BadInput, match="no module 'nvme_of_mars'"):
        load_order(["uas", "nvme_of_mars"], parse_dependencies(DEP), [])


@st.composite
def module_trees(draw: st.DrawFn) -> dict[str, list[str]]:
    """``modules.dep`` as depmod writes it: all that a module needs, the last to load first."""
    needed: dict[str, list[str]] = {}
    for index in range(draw(st.integers(1, 8))):
        direct = draw(st.sets(st.sampled_from(sorted(needed)))) if needed else set()
        closure = direct.union(*(needed[name] for name in direct))
        needed[f"m{index}.ko"] = sorted(closure, reverse=True)
    return needed


@given(module_trees(), st.data())
def test_any_choice_of_modules_can_be_loaded_in_the_order_given(
    tree: dict[str, list[str]], data: st.DataObject
) -> None:
    wanted = data.draw(st.lists(st.sampled_from([module_name(path) for path in tree])))
    order = load_order(wanted, tree, [])
    assert len(order) == len(set(order))
    assert {module_name(path) for path in order} >= set(wanted)
    for place, path in enumerate(order):
        assert set(tree[path]) <= set(order[:place])


@given(st.text())
def test_any_text_is_read_as_dependencies(text: str) -> None:
    assert all(":" not in name for name in parse_dependencies(text))


@pytest.mark.parametrize(
    ("source", "needed"),
    [
        (HOSTOS / "initrd", {"usb_storage", "squashfs", "overlay", "dm_multipath"}),
        (IMAGES / "guest-initrd", {"virtio_blk"}),
    ],
)
def test_our_own_lists_name_modules_only(source: Path, needed: set[str]) -> None:
    names = wanted_modules(source)
    assert needed <= set(names)
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in names)
    assert len(names) == len(set(names))


def test_modules_are_unpacked_when_they_are_packed(tmp_path: Path) -> None:
    for name, content in (("a.ko", b"plain"), ("b.ko.xz", lzma.compress(b"packed"))):
        (tmp_path / name).write_bytes(content)
    assert uncompressed(tmp_path / "a.ko") == b"plain"
    assert uncompressed(tmp_path / "b.ko.xz") == b"packed"


def unpacked_names(archive: Path) -> list[str]:
    with archive.open("rb") as file:
        plain = run(["zstd", "-dc"], stdin=file, stdout=(target := (archive.with_suffix(".plain")).open("wb")))
    target.close()
    assert plain.stdout == ""
    with archive.with_suffix(".plain").open("rb") as file:
        return run(["cpio", "-t", "--quiet"], stdin=file).stdout.split()


def test_the_archive_has_all_that_the_init_needs(tmp_path: Path) -> None:
    modules = tmp_path / "modules"
    for name in parse_dependencies(DEP):
        (modules / name).parent.mkdir(parents=True, exist_ok=True)
        (modules / name).write_bytes(lzma.compress(name.encode()))
    (modules / "modules.dep").write_text(DEP)
    (modules / "modules.builtin").write_text("kernel/fs/overlay.ko\n")
    (tmp_path / "busybox").write_bytes(b"busybox")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "init").write_text("#!/bin/busybox sh")
    (tmp_path / "source" / "modules").write_text("# what finds a stick\nxhci_pci\n\noverlay\n")
    (tmp_path / "keeper").write_bytes(b"static")
    programs = (tmp_path / "busybox", tmp_path / "scratch", tmp_path / "initrd.img", tmp_path / "keeper")
    make_initrd(tmp_path / "source", modules, *programs)
    tree = tmp_path / "scratch" / "initrd"
    assert (tree / "modules" / "order").read_text().split() == ["usb_common", "usbcore", "xhci_hcd", "xhci_pci"]
    assert (tree / "modules" / "xhci_pci.ko").read_bytes() == b"kernel/usb/xhci-pci.ko.xz"
    names = unpacked_names(tmp_path / "initrd.img")
    assert {"init", "bin/busybox", "bin/keeper", "bin/sh", "proc", "sys", "dev", "run", "root", "modules/order"} <= set(
        names
    )
    assert "modules/beep.ko" not in names
    assert all((tree / name).stat().st_mode & 0o111 for name in ("init", "bin/busybox", "bin/keeper"))


def test_the_same_contents_give_the_same_bytes(tmp_path: Path) -> None:
    for copy in ("one", "two"):
        (tmp_path / copy / "bin").mkdir(parents=True)
        for name in ("b", "a") if copy == "one" else ("a", "b"):
            (tmp_path / copy / "bin" / name).write_text(name)
        (tmp_path / copy / "bin" / "sh").symlink_to("a")
    for path in (tmp_path / "one" / "bin", tmp_path / "two" / "bin"):
        for file in (*path.iterdir(), path, path.parent):
            run(["touch", "--no-dereference", "--date=@0", file])
    for copy in ("one", "two"):
        pack(tmp_path / copy, tmp_path / f"{copy}.img")
    assert (tmp_path / "one.img").read_bytes() == (tmp_path / "two.img").read_bytes()
    assert not list(tmp_path.glob("*.cpio"))
