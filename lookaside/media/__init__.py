"""What lies still and may have chunks: folders, discs and disc images, with packs on them and an index beside."""
