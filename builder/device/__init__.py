"""Real sticks: which disks may be written, and writing them."""
