"""The encrypted store as bytes: LUKS2, XFS, made and read with no mount and no device-mapper."""
