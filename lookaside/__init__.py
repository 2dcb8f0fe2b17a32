"""Content addressing: chunks, packs, manifests and the places where chunks are found. Knows nobody but soulpad.base."""
