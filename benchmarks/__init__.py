"""Measurements of SoulPad against what else there is, on the machine where they are run."""
