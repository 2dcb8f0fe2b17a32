"""A jukebox: a computer on the local network that serves the packs of its folders to everybody, and needs no key."""
