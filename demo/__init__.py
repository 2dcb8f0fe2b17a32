"""The demonstration: one session wanders from a PC to a different one on a stick that this repository built."""
