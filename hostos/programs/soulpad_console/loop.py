"""The loop between the terminal, the session service and the model."""

from __future__ import annotations

import select
import time

from . import machine, vt
from .layouts import Keyboard
from .model import WANTED, Answer, Model
from .options import Options, seconds
from .pages import Choice, Page, Prompt, Working
from .screen import Screen, TerminalLost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .link import Link

TICK_SECONDS = 0.5
TERMINAL = 0
SILENT_READS = 20
"""So often may the terminal be readable without a key before it counts as lost."""


class Console:
    """Everything that lives while the console runs; ``anew`` carries over what an error must not lose."""

    def __init__(self, options: Options, model: Model) -> None:
        self.options = options
        self.model = model
        self.loader = machine.LayoutLoader(options.loadkeys)
        self.link: Link | None = None
        self.reported: set[str] = set()
        self._power_off_at = 0.0
        self._silent_reads = 0
        self._ready_for: Page | None = None

    def anew(self) -> Console:
        """A console for the same PC after an error: same socket, layout and advice; the client has to come again, and
        whether the screen is the viewer's is kept. A half-typed passphrase is forgotten."""
        after = Console(self.options, Model(self.model.keyboard))
        after.model.hidden = self.model.hidden
        after.model.power = self.model.power
        after.model.advice = self.model.advice
        after.loader, after.link, after.reported = self.loader, self.link, self.reported
        if self.link:
            self.link.drop()
        return after

    def run(self) -> None:
        """Draws the prompt, then does what is slower, then serves. Ends by an error only."""
        self._start_loader()  # first: it takes longer than we do until the prompt is drawn
        screen = Screen()
        try:
            self._draw(screen)
            self._report("prompt-drawn")
            self._prepare()
            next_tick = time.monotonic()
            while True:
                if time.monotonic() >= next_tick:
                    self._tick(screen)
                    next_tick = time.monotonic() + TICK_SECONDS
                self._turn(screen, next_tick)
        finally:
            screen.close()

    def _prepare(self) -> None:
        """What must be done before the first key is read, but not before the prompt is seen."""
        machine.ignore_signals()
        machine.harden()
        from .link import Link  # sockets and JSON are most of our imports

        self.link = self.link or Link(self.options.socket)
        self.link.ensure()

    def _report(self, event: str) -> None:
        if event not in self.reported:
            self.reported.add(event)
            machine.report(self.options, event)

    def _report_ready(self) -> None:
        """Says of each question, once, that it is on the screen and its keys are read; earlier ones are dropped."""
        page = self.model.page
        if page is not self._ready_for and isinstance(page, Prompt | Choice):
            self._ready_for = page
            machine.report(self.options, "prompt-ready" if isinstance(page, Prompt) else "choice-ready")

    # --- one turn

    def _turn(self, screen: Screen, next_tick: float) -> None:
        link = self.link
        assert link is not None
        poller = select.poll()
        reading_keys = not self.model.hidden and not self.model.keyboard.changing
        watched = [self.loader.descriptor, link.listener_descriptor, link.client_descriptor]
        for descriptor in [*watched, TERMINAL] if reading_keys else watched:
            if descriptor >= 0:
                poller.register(descriptor, select.POLLIN)
        if reading_keys:
            self._report_ready()
        ready = dict(poller.poll(self._patience_milliseconds(next_tick)))
        was_hidden = self.model.hidden
        if self.loader.descriptor in ready:
            self._settle_layout(screen)
        if TERMINAL in ready:
            self._read_keys(screen, ready[TERMINAL])
        if link.client_descriptor in ready:
            self._serve(link)
        if link.listener_descriptor in ready:
            link.accept()
            self.model.client_gone()
        self._show(screen, was_hidden)

    def _patience_milliseconds(self, next_tick: float) -> int | None:
        """Until the next tick; while the viewer has the screen and the service is connected, for ever."""
        if self.model.hidden and self.link and self.link.client_descriptor >= 0 and self.loader.descriptor < 0:
            return None
        return max(0, int((next_tick - time.monotonic()) * 1000) + 1)

    def _tick(self, screen: Screen) -> None:
        if self.link:
            self.link.ensure()
        self._power_off_if_nobody_listens()
        if self.loader.descriptor >= 0:
            self._settle_layout(screen)
        if self.model.hidden:
            return
        page = self.model.page
        if isinstance(page, Working):
            page.ticks += 1
        screen.keep()
        self._draw(screen)

    def _show(self, screen: Screen, was_hidden: bool) -> None:
        if self.model.hidden:
            if not was_hidden:
                screen.blank()
            return
        if was_hidden:
            vt.bring_to_front(TERMINAL)
            screen.drop_typed()  # it was meant for the virtual machine
            screen.repaint()
        self._draw(screen)

    def _draw(self, screen: Screen) -> None:
        if self.model.hidden:
            return
        if isinstance(self.model.page, Prompt):
            self.model.page.caps_lock = vt.caps_lock(TERMINAL)
        screen.draw(self.model.shown, self.model.notice)

    # --- the keyboard

    def _read_keys(self, screen: Screen, event: int) -> None:
        if event & (select.POLLHUP | select.POLLERR | select.POLLNVAL):
            raise TerminalLost
        keys = screen.keys()
        self._silent_reads = 0 if keys else self._silent_reads + 1
        if self._silent_reads > SILENT_READS:
            raise TerminalLost
        for key in keys:
            self._answer(self.model.key(key))
            if self.model.keyboard.changing:
                self._start_loader()
                return  # the keys behind were pressed in the layout before

    def _start_loader(self) -> None:
        keyboard: Keyboard = self.model.keyboard
        if keyboard.changing and self.loader.descriptor < 0 and not self.loader.start(keyboard.wanted):
            self.model.layout_settled(succeeded=False, keys_were_lost=False)

    def _settle_layout(self, screen: Screen) -> None:
        succeeded = self.loader.ended()
        if succeeded is not None:
            self.model.layout_settled(succeeded, keys_were_lost=screen.drop_typed())

    # --- the session service

    def _serve(self, link: Link) -> None:
        from .link import ClientGone
        from .protocol import BadRequest, parse

        try:
            for line in link.lines():
                try:
                    self._answer(self.model.request(parse(line)))
                except BadRequest as error:
                    self._answer({"error": str(error)})
        except ClientGone:
            self.model.client_gone()

    def _answer(self, answer: Answer | None) -> None:
        from .link import ClientGone
        from .protocol import encode

        if answer is None or self.link is None:
            return
        try:
            self.link.send(encode(answer))
        except ClientGone:
            self.model.client_gone(answer)

    def _power_off_if_nobody_listens(self) -> None:
        if self.model.power != WANTED:
            self._power_off_at = 0.0
        elif not self._power_off_at:
            has_client = self.link is not None and self.link.client_descriptor >= 0
            patience = 0.0 if has_client else seconds(self.options.power_off_after_seconds, 8.0)
            self._power_off_at = time.monotonic() + patience
        elif time.monotonic() >= self._power_off_at:
            self.model.power_off_begun()
            machine.power_off(self.options)
