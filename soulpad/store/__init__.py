"""The formats of a stick: what lies on the public partitions and in the encrypted store. No flow lives here."""
