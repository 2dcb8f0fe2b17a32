"""SoulPad: a PC's soul on a USB disk."""

__version__ = "0.1.0"
