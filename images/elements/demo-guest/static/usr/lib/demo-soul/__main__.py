"""Runs the demo guest's program: ``python3 -SE /usr/lib/demo-soul/__main__.py``."""

from demo_soul.app import main

main()
