"""What the console shows now, and what keys and requests make of it: decisions only, no terminal and no socket."""

from __future__ import annotations

from .layouts import Keyboard
from .pages import Choice, LayoutChoice, Message, Page, Prompt, Working
from .protocol import OK, POWER_OFF, Request

Answer = dict[str, object]

NO, ARMED, WANTED, BEGUN = "no", "armed", "wanted", "begun"


class Model:
    """``hidden``: the screen and the keyboard are the viewer's. ``power``: ARMED after one F4, WANTED after the
    second until somebody has been told, then BEGUN: no question is put any more, but progress is still shown."""

    def __init__(self, keyboard: Keyboard) -> None:
        self.keyboard = keyboard
        self.page: Page = Prompt()
        self.layout_choice: LayoutChoice | None = None
        self.hidden = False
        self.power = NO
        self.advice: list[str] = []
        self.going_back = False
        self._awaited = ""
        self._early: Answer | None = None

    @property
    def shown(self) -> Page:
        """The page on the screen, with the keyboard's state and the advice put in."""
        if isinstance(self.page, Prompt):
            self.page.advice, self.page.going_back = self.advice, self.going_back
            self.page.keyboard = self.keyboard.title + (" (being set up)" if self.keyboard.changing else "")
        return self.layout_choice or self.page

    @property
    def notice(self) -> str:
        """A line for the whole screen, or nothing."""
        return "Press F4 again to power this PC off, any other key to go on." if self.power == ARMED else ""

    # --- keys

    def key(self, key: str) -> Answer | None:
        """What the session service is to be told because of this key."""
        if key == "f4":
            return self._power_off_key()
        self.power = NO if self.power == ARMED else self.power
        if self.layout_choice:
            self._layout_key(self.layout_choice, key)
            return None
        if key == "f5" and isinstance(self.page, Prompt):
            self.going_back = not self.going_back
            return None
        if key == "f2" and isinstance(self.page, Prompt):
            titles = [title for _, title in self.keyboard.layouts]
            self.layout_choice = LayoutChoice("Keyboard layout", [], titles, self.keyboard.index)
            return None
        return self._completed(self.page.key(key))

    def _layout_key(self, choice: LayoutChoice, key: str) -> None:
        chosen = choice.key(key)
        if isinstance(chosen, int):
            self.keyboard.want(chosen)
        if key in ("enter", "escape"):
            self.layout_choice = None

    def _completed(self, result: object | None) -> Answer | None:
        if isinstance(result, str):
            self.page = Working("Checking")
            answer: Answer = {"passphrase": result} | ({"go_back": True} if self.going_back else {})
            if self._awaited == "passphrase":
                return self._answer(answer)
            self._early = answer
        elif isinstance(result, int):
            self.page = Working("One moment")
            return self._answer({"choice": result})
        return None

    def _power_off_key(self) -> Answer | None:
        if self.power != ARMED:
            self.power = WANTED if self.power == WANTED else ARMED
            return None
        self.page, self.layout_choice, self._early = Working("Powering off"), None, None
        if self._awaited:
            self.power = BEGUN
            return self._answer(POWER_OFF)
        self.power = WANTED
        return None

    def power_off_begun(self) -> None:
        """Systemd has been told. The session service may still show how it ends."""
        self.power = BEGUN

    def _answer(self, answer: Answer) -> Answer:
        self._awaited = ""
        return answer

    # --- requests

    def request(self, request: Request) -> Answer | None:
        """The answer, when it can be given at once."""
        if self.power in (WANTED, BEGUN) and request.kind in ("passphrase", "choice"):
            self.power = BEGUN
            return POWER_OFF
        if request.kind == "advice":
            self.advice = request.lines
            return OK
        self._awaited = ""
        if request.kind == "hide":
            self.hidden, self.layout_choice = True, None
            self.page = Working("One moment")
            return OK
        self.hidden = False
        if request.kind == "passphrase":
            return self._ask_passphrase(request.message)
        self.layout_choice, self._early = None, None
        if request.kind == "choice":
            self.page = Choice(request.title, request.lines, request.options, request.default)
            self._awaited = "choice"
            return None
        is_message = request.kind == "message"
        self.page = Message(request.title, request.lines) if is_message else Working(request.activity)
        return OK

    def _ask_passphrase(self, message: str) -> Answer | None:
        early, self._early = self._early, None
        if early is not None and not message:
            return early
        typing_already = isinstance(self.page, Prompt) and not message
        if not typing_already:
            self.page = Prompt(message)
        self._awaited = "passphrase"
        return None

    def client_gone(self, undelivered: Answer | None = None) -> None:
        """The session service closed the connection. The prompt stays; a question nobody waits for goes.

        ``undelivered``: an answer that could not be sent any more; the next client gets it if it asks the same.
        """
        self._awaited = ""
        if undelivered and "passphrase" in undelivered:
            self._early = undelivered
        if undelivered == POWER_OFF:
            self.power = WANTED
        if isinstance(self.page, Choice):
            self.page = Working("One moment")

    def layout_settled(self, succeeded: bool, keys_were_lost: bool) -> None:
        """``loadkeys`` has ended."""
        self.keyboard.settled(succeeded)
        if not isinstance(self.page, Prompt):
            return
        if not succeeded:
            self.page.note = "That keyboard layout could not be set up."
        elif keys_were_lost:
            self.page.note = "Keys pressed meanwhile were not taken. Type them again."
