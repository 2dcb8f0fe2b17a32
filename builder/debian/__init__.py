"""What comes from Debian: the machine's mirror, programs of Debian 13, roots made by diskimage-builder."""
