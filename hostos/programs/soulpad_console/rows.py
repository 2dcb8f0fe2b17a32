"""Text as rows of a box: wrapping, and choosing what to show when there are more rows than room."""

from __future__ import annotations

PLAIN, BOLD, WARN, FIELD, CHOSEN = "plain", "bold", "warn", "field", "chosen"

Row = tuple[str, str]
"""A line of text and one of the styles above. The cursor stands behind the text of a FIELD row."""

BLANK: Row = ("", PLAIN)
MORE: Row = ("...", PLAIN)


def wrap(text: str, width: int) -> list[str]:
    """``text`` in lines of at most ``width`` characters, broken between words where there are any."""
    if len(text) <= width:
        return [text]
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if len(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        pieces = [word[at : at + width] for at in range(0, len(word), width)]
        lines[-1:] = pieces
    return lines


def paragraphs(texts: list[str], width: int, style: str = PLAIN) -> list[Row]:
    """Each text wrapped; an empty text is an empty row. Leading spaces stay: people indent what belongs together."""
    rows: list[Row] = []
    for text in texts:
        indent = text[: min(len(text) - len(text.lstrip()), width // 2)]
        rows += [(indent + line, style) for line in wrap(text, width - len(indent))]
    return rows


def fit(body: list[Row], foot: list[Row], room: int) -> list[Row]:
    """Body and foot in at most ``room`` rows: the foot stays, and of the body what holds the cursor or the choice."""
    room_for_body = max(1, room - len(foot))
    if len(body) <= room_for_body:
        return body + foot
    marked = [at for at, (_, style) in enumerate(body) if style in (FIELD, CHOSEN)]
    first = max(0, marked[-1] - room_for_body + 2) if marked else 0
    first = min(first, len(body) - room_for_body)
    shown = body[first : first + room_for_body]
    if first > 0 and len(shown) > 2:
        shown[0] = MORE
    if first + room_for_body < len(body) and len(shown) > 2:
        shown[-1] = MORE
    return (shown + foot)[: max(1, room)]
