"""The session on a PC: from the passphrase to the suspended parcel and the PC switched off."""
