"""The stick as a disk: partition table, ESP, boot loaders."""
