"""Started as ``python3 -ISE .../soulpad_console`` (or ``.../soulpad_console/__main__.py``: no runpy, so sooner)."""

import sys

folder = __file__.rpartition("/")[0]
if folder in sys.path:
    sys.path.remove(folder)  # our modules are reached as a package, and must not shadow the standard library
sys.path.append(folder.rpartition("/")[0])

if __name__ == "__main__":
    __import__("soulpad_console.supervise", fromlist=["main"]).main(sys.argv[1:])
