"""Started as ``python3 -I .../soulpad_viewer SOCKET``."""

import sys

folder = __file__.rpartition("/")[0]
if folder in sys.path:
    sys.path.remove(folder)  # our modules are reached as a package
sys.path.append(folder.rpartition("/")[0])

if __name__ == "__main__":
    __import__("soulpad_viewer.viewer", fromlist=["main"]).main(sys.argv[1:])
