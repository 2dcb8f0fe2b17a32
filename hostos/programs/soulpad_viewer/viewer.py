"""The viewer's one window: the guest's screen on the whole of the PC's, and what can lie over it.

There is no menu, nothing to quit by, and no file of the host in reach. SIGTERM takes the USB devices from the guest
and ends the viewer; a connection that breaks ends it too, and its unit starts the next one.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from .panel import Notice, UsbList, use_style
from .sound import sound_environment
from .speakers import use_alsa
from .toolkit import Gdk, GLib, Gtk, SpiceClientGLib, SpiceClientGtk, on
from .usb import Usb

RUN = Path(os.environ.get("XDG_RUNTIME_DIR", "/run/soulpad-viewer"))
ACL_HELPER = "/usr/lib/soulpad/usb-already-decided"
# The compositor is told of no layout, so it is the key in this place on any keyboard.
LIST_KEYS = (Gdk.KEY_u, Gdk.KEY_U)
LIST_MODIFIERS = Gdk.ModifierType.CONTROL_MASK | Gdk.ModifierType.MOD1_MASK
LIST_HINT = "Ctrl+Alt+U lists the USB devices."
LETTING_GO_MILLISECONDS = 1500  # less than TimeoutStopSec of the unit


def main(arguments: list[str]) -> None:
    """``arguments``: the path of the virtual machine's SPICE socket. Ends the process."""
    os.environ.update(sound_environment())
    os.environ["SPICE_USB_ACL_BINARY"] = ACL_HELPER
    use_alsa()
    (RUN / "pid").write_text(f"{os.getpid()}\n")
    viewer = Viewer(arguments[0])
    viewer.start()
    Gtk.main()


class Viewer:
    """The session with QEMU, the window, and the guest's screen in it once there is one."""

    def __init__(self, socket: str) -> None:
        self.session = SpiceClientGLib.Session(uri=f"spice+unix://{socket}")
        on(self.session, "channel-new", self._channel)
        on(self.session, "disconnected", lambda _: self._end())
        self.display: Any = None
        self.overlay = Gtk.Overlay()
        self.notice = Notice(self.overlay)
        self.list = UsbList(self.overlay, self._keys_to_guest)
        self.window = Gtk.Window(decorated=False)
        self.window.add(self.overlay)
        self.window.connect("key-press-event", lambda _, event: self._key(event))
        self.window.connect("delete-event", lambda *_: True)
        self.helpers = [SpiceClientGtk.GtkSession.get(self.session), SpiceClientGLib.Audio.get(self.session, None)]
        self.helpers[0].props.auto_clipboard = True

    def start(self) -> None:
        """Shows the window and connects; returns at once."""
        use_style()
        GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGTERM, self._leave)
        self.window.fullscreen()
        self.window.show_all()
        self._use_usb()
        self.session.connect()

    def _use_usb(self) -> None:
        """Before the session is connected, so that what is found now was there before. A PC may have no USB."""
        try:
            manager = SpiceClientGLib.UsbDeviceManager.get(self.session)
        except GLib.Error as error:
            print(f"no USB: {error.message}", file=sys.stderr)
            return
        usb = Usb(manager, RUN / "usb", self.list.refresh, lambda text: self.notice.tell(f"{text} {LIST_HINT}"))
        self.list.usb = usb
        GLib.idle_add(self._usb_started, usb)  # behind what the manager has found, which waits in the same queue

    def _usb_started(self, usb: Usb) -> bool:
        usb.started()
        if usb.devices():
            self.notice.tell(LIST_HINT)
        return False

    # --- the session

    def _channel(self, _: Any, channel: Any) -> None:
        match channel:
            case SpiceClientGLib.MainChannel():
                on(channel, "channel-event", self._main_event)
            case SpiceClientGLib.DisplayChannel() if self.display is None:
                self._show_display(channel.props.channel_id)
            case SpiceClientGLib.UsbredirChannel():
                on(channel, "channel-event", self._port_event)

    def _main_event(self, _: Any, event: Any) -> None:
        if event not in (SpiceClientGLib.ChannelEvent.OPENED, SpiceClientGLib.ChannelEvent.NONE):
            self._end()

    def _port_event(self, *_: object) -> None:
        if self.list.usb:
            self.list.usb.look()

    def _show_display(self, channel_id: int) -> None:
        """It follows the window's size: it asks the guest for it, and until the guest has it, and where the guest never
        does, it scales."""
        self.display = SpiceClientGtk.Display.new(self.session, channel_id)
        self.display.props.resize_guest = True
        self.display.props.scaling = True
        # No other program could take keys; and who has grabbed them does not let go of those held when it loses them.
        self.display.props.grab_keyboard = False
        # spice-gtk 0.42 takes the pointer without asking whether the compositor lets it, and crashes where, as in cage,
        # it does not (it lacks zwp_pointer_constraints_v1): at a click, and when a USB device is given, as long as the
        # guest has no tablet's driver.
        self.display.props.grab_mouse = False
        self.overlay.add(self.display)
        self.display.show()
        self._keys_to_guest()

    # --- keys

    def _key(self, event: Any) -> bool:
        """True: it is not the guest's."""
        if event.keyval in LIST_KEYS and event.state & LIST_MODIFIERS == LIST_MODIFIERS:
            self.list.turn()
            return True
        return self.list.shown and self.list.key(event.keyval)

    def _keys_to_guest(self) -> None:
        if self.display and not self.list.shown:
            self.display.grab_focus()

    # --- the end

    def _leave(self) -> bool:
        GLib.timeout_add(LETTING_GO_MILLISECONDS, self._end)
        if self.list.usb:
            self.list.usb.let_go(lambda: GLib.idle_add(self.session.disconnect))
        else:
            self._end()
        return True

    def _end(self) -> bool:
        Gtk.main_quit()
        return False
