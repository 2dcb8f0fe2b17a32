"""The live host as files: squashfs, kernel, initramfs."""
