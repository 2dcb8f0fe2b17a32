"""What a person sees on the PC's screen besides the virtual machine: the passphrase prompt, questions, progress.

Runs on the stick's host from before systemd until power-off, alone on tty1, and is driven by the session service
over a unix socket (``protocol``). It knows nothing of parcels. Python's start is most of the time between the
mounted root and the prompt, so modules here import little, and what the first drawing does not need comes after it.
"""
