"""The virtual machine's screen, keyboard, sound and USB devices on this PC. Imports nothing of ``soulpad``.

Started as the only program of a compositor; it may die at any time and be started again.
"""
