"""Backups: parcels as versions in a repository, and back. Knows the store's format, not how sessions or sticks run."""
