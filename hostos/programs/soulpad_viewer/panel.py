"""What lies over the virtual machine's screen: the list of USB devices when asked for, a sentence for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .devices import Device
from .toolkit import Gdk, GLib, Gtk
from .usb import Usb

TITLE = "USB devices of this PC"
NONE = "Nothing is plugged in that the virtual machine could use."
HELP = "Enter gives a device to the virtual machine or takes it back, Esc closes the list."
NOTICE_SECONDS = 8
TOGGLE_KEYS = (Gdk.KEY_Return, Gdk.KEY_KP_Enter, Gdk.KEY_space)
STYLE = b"""
window { background: black; }
.card { background: #20262e; color: #f2f2f2; padding: 18px; border-radius: 6px; }
.card list { background: transparent; color: #f2f2f2; }
.card row { padding: 8px; }
.card row:selected { background: #2f6fb5; color: white; }
.card .title { font-weight: bold; }
.card .dim { color: #b8c0c8; }
"""


def use_style() -> None:
    """For every window of this process."""
    provider = Gtk.CssProvider()
    provider.load_from_data(STYLE)
    Gtk.StyleContext.add_provider_for_screen(
        Gdk.Screen.get_default(), provider, Gtk.STYLE_PROVIDER_PRIORITY_APPLICATION
    )


def label(text: str, style: str = "") -> Any:
    """A line of text, broken where it is too long for the screen."""
    line = Gtk.Label(label=text, xalign=0, wrap=True, max_width_chars=70)
    if style:
        line.get_style_context().add_class(style)
    return line


class Notice:
    """A sentence at the lower edge, for some seconds. It takes neither keys nor the pointer."""

    def __init__(self, overlay: Any) -> None:
        self._label = label("", "card")
        self._label.set_halign(Gtk.Align.CENTER)
        self._label.set_valign(Gtk.Align.END)
        self._label.set_margin_bottom(24)
        self._label.set_no_show_all(True)
        self._ending = 0
        overlay.add_overlay(self._label)
        overlay.set_overlay_pass_through(self._label, True)

    def tell(self, sentence: str) -> None:
        """Shows it in the place of the one before."""
        self._label.set_text(sentence)
        self._label.show()
        if self._ending:
            GLib.source_remove(self._ending)
        self._ending = GLib.timeout_add_seconds(NOTICE_SECONDS, self._end)

    def _end(self) -> bool:
        self._ending = 0
        self._label.hide()
        return False


class UsbList:
    """The list, operated with the arrow keys and Enter, or with the mouse. ``back`` gives the keys to the guest again.

    ``usb`` is None where the PC's USB devices cannot be reached."""

    def __init__(self, overlay: Any, back: Callable[[], None]) -> None:
        self.usb: Usb | None = None
        self._back = back
        self._rows = Gtk.ListBox()
        self._rows.connect("row-activated", lambda _, row: self._toggle(row.get_index()))
        self._box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=12, no_show_all=True)
        self._box.get_style_context().add_class("card")
        self._box.set_halign(Gtk.Align.CENTER)
        self._box.set_valign(Gtk.Align.CENTER)
        self._devices: list[Device] = []
        self._nothing = label(NONE)
        for line in (label(TITLE, "title"), self._rows, self._nothing, label(HELP, "dim")):
            self._box.pack_start(line, False, False, 0)
            line.show()
        overlay.add_overlay(self._box)

    @property
    def shown(self) -> bool:
        """Whether it has the keys."""
        return bool(self._box.get_visible())

    def turn(self) -> None:
        """Shows or hides it."""
        if self.shown:
            self._box.hide()
            self._back()
        else:
            self._box.show()
            self.refresh()

    def key(self, value: int) -> bool:
        """True: it was for the list. What is left moves in it."""
        if value == Gdk.KEY_Escape:
            self.turn()
        elif value in TOGGLE_KEYS:
            row = self._rows.get_selected_row()
            self._toggle(row.get_index() if row else 0)
        return value == Gdk.KEY_Escape or value in TOGGLE_KEYS

    def refresh(self) -> None:
        """Shows what is there now; the row that was chosen stays so."""
        if not self.shown:
            return
        chosen = self._rows.get_selected_row()
        index = chosen.get_index() if chosen else 0
        for row in self._rows.get_children():
            self._rows.remove(row)
        self._devices = self.usb.devices() if self.usb else []
        for device in self._devices:
            given = self.usb is not None and self.usb.is_given(device)
            self._rows.add(self._row(device.name, "with the virtual machine" if given else ""))
        self._nothing.set_visible(not self._devices)
        self._choose(min(index, len(self._devices) - 1))

    def _row(self, name: str, state: str) -> Any:
        line = Gtk.Box(spacing=24)
        line.pack_start(label(name), True, True, 0)
        line.pack_end(label(state, "dim"), False, False, 0)
        row = Gtk.ListBoxRow()
        row.add(line)
        row.show_all()
        return row

    def _choose(self, index: int) -> None:
        row = self._rows.get_row_at_index(index) if index >= 0 else None
        if row:
            self._rows.select_row(row)
            row.grab_focus()
        else:
            self._rows.set_can_focus(True)
            self._rows.grab_focus()

    def _toggle(self, index: int) -> None:
        if self.usb and index < len(self._devices):
            self.usb.toggle(self._devices[index])
            self.refresh()
