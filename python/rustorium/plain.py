"""Makes text of others safe to show: control characters are escaped.

Invariants: PURE; the result moves no cursor, sets no colour and turns no writing direction.
"""

SPELLED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
TEXT_CHARACTERS_MAX = 500
"""Maximum number of characters of a node's sentence."""
CODE_CHARACTERS_MAX = 64


def plain(text: str, characters_max: int | None = None) -> str:
    """Returns the text on one line, with escapes for all characters that a terminal wouldn't print as they are. Longer
    text ends in "…"."""
    if characters_max is not None and len(text) > characters_max:
        text = text[: characters_max - 1] + "…"
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def plain_lines(text: str) -> str:
    """Does the same to each line."""
    return "\n".join(plain(line) for line in text.split("\n"))


def plain_json(text: str) -> str:
    """Escapes the same characters in JSON, whose meaning stays the same. Line breaks between values are kept."""
    return "".join(c if c.isprintable() or c == "\n" else _surrogates(c) for c in text)


def _escaped(character: str) -> str:
    return SPELLED.get(character) or _surrogates(character)


def _surrogates(character: str) -> str:
    """JSON knows no code points above ffff: such a character is escaped as two."""
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
