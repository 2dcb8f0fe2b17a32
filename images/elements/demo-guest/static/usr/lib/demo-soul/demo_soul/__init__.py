"""A program whose state is nowhere but in memory: what a machine that is resumed still has, and a rebooted one not.

Starts quickly where Python runs twenty times slower than usual (an emulated PC in an emulated PC): nothing
that imports ``re``, ``typing`` or OpenSSL is used, which saves two seconds on the way to the first report.
"""
