"""What the benchmarks share: the stick's host unpacked and entered, a store on a throttled device, the demo guest.

Modules that say so in their first line run in the host's root, under its Python, with ``soulpad`` and ``benchmarks``
at hand and nothing else; the others run in the project's own environment.
"""
