"""What GRUB is told, and the complete contents of the stick's ESP.

One configuration serves both ways to it: the BIOS core image (bootsector) and Debian's signed GRUB for UEFI,
which under Secure Boot loads no further modules. So only commands of modules that ``gcdx64.efi.signed`` has built in
are used, or ones guarded by what they leave in variables.
"""

from __future__ import annotations

import re
from pathlib import Path

from builder.debian import toolbox as tools
from builder.debian.toolbox import Toolbox
from builder.disk.esp import Content
from soulpad.base.errors import BadInput
from soulpad.store.stick import DESCRIPTION_NAME

KERNEL = "boot/vmlinuz"
INITRD = "boot/initrd.img"
CONFIG = "boot/grub/grub.cfg"

# quiet, loglevel, audit, systemd.show_status: the screen belongs to the prompt, and a slow console delays the boot.
# init_on_free: memory that a program gives back holds nothing of the user's afterwards.
# service_watchdogs: a service that waits for a stick which was pulled out is not stuck, and must not be killed for it.
BASE_KERNEL_ARGUMENTS = (
    "quiet",
    "loglevel=3",
    "audit=0",
    "systemd.show_status=0",
    "systemd.service_watchdogs=0",
    "init_on_free=1",
)

# Words that GRUB's shell takes as they are (GRUB manual, "Quoting"): no quotes, variables, braces or separators.
_PLAIN_ARGUMENTS = re.compile(r"[A-Za-z0-9_.,:/=@%+ -]*")


def marker_name(stick_id: str) -> str:
    """The empty file at the ESP's root by which GRUB tells this stick from another in the same PC."""
    return f"soulpad-{stick_id}"


def bios_embedded_config(stick_id: str) -> str:
    """The configuration inside the BIOS core image: finds this stick's ESP, the boot disk's partitions first."""
    return f"""\
search --no-floppy --set=root --hint=$root, --file /{marker_name(stick_id)}
set prefix=($root)/boot/grub
normal $prefix/grub.cfg
"""


def grub_config(stick_id: str, kernel_arguments: str) -> str:
    """``boot/grub/grub.cfg``: starts at once. Escape, or on BIOS PCs a held Shift, shows a menu.

    ``kernel_arguments`` (separated by spaces) follow BASE_KERNEL_ARGUMENTS. Raises BadInput for characters that
    mean something to GRUB.
    """
    if not _PLAIN_ARGUMENTS.fullmatch(kernel_arguments):
        raise BadInput(f"{kernel_arguments!r} cannot be passed to the kernel", "leave out quotes, $ and the like")
    arguments = " ".join((*BASE_KERNEL_ARGUMENTS, *kernel_arguments.split()))
    return f"""\
search --no-floppy --set=root --hint=$root --file /{marker_name(stick_id)}
set default=start
set timeout=0
set timeout_style=hidden
if keystatus --shift; then
  set timeout=-1
  set timeout_style=menu
fi
menuentry "Start" --id start {{
  echo "SoulPad is starting"
  linux /{KERNEL} {arguments}
  initrd /{INITRD}
}}
menuentry "Start with basic graphics" --id basic {{
  echo "SoulPad is starting with basic graphics"
  set gfxpayload=1024x768x32,1024x768,auto
  linux /{KERNEL} {arguments} nomodeset
  initrd /{INITRD}
}}
menuentry "Power off" --id off {{
  halt
}}
"""


def esp_files(
    toolbox: Toolbox, kernel: Path, initrd: Path, description: bytes, config: str, stick_id: str
) -> dict[str, Content]:
    """Everything on the ESP, path to content.

    ``kernel`` is Debian's signed one. ``description`` is ``soulpad.json``. The signed GRUB looks for
    ``/boot/grub/grub.cfg`` on the file system that it was started from; Debian's other signed builds, which an owner
    may put in its place, look in ``EFI/debian``.
    """
    return {
        "EFI/BOOT/BOOTX64.EFI": toolbox.path(tools.SHIM),
        "EFI/BOOT/grubx64.efi": toolbox.path(tools.SIGNED_GRUB),
        "EFI/BOOT/mmx64.efi": toolbox.path(tools.MOK_MANAGER),
        "EFI/debian/grub.cfg": f"configfile /{CONFIG}\n".encode(),
        CONFIG: config.encode(),
        KERNEL: kernel,
        INITRD: initrd,
        DESCRIPTION_NAME: description,
        marker_name(stick_id): b"",
    }
