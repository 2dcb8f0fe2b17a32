"""The libraries that the screen is made of, in the versions that this was written for."""

import gi

for _name, _version in (
    ("Gtk", "3.0"),
    ("Gdk", "3.0"),
    ("Gst", "1.0"),
    ("SpiceClientGLib", "2.0"),
    ("SpiceClientGtk", "3.0"),
):
    gi.require_version(_name, _version)

from gi.repository import Gdk, GLib, GObject, Gst, Gtk, SpiceClientGLib, SpiceClientGtk  # noqa: E402

# A Session's and a Channel's own ``connect`` is another one: it opens a connection.
on = GObject.Object.connect

__all__ = ["GLib", "Gdk", "Gst", "Gtk", "SpiceClientGLib", "SpiceClientGtk", "on"]
