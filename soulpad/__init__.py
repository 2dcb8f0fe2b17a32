"""SoulPad: a PC's soul on a USB disk."""
