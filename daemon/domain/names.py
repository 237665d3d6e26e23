"""What may be the name of a server, a metric or a profile, wherever it comes from."""

import unicodedata

MAXIMUM_LENGTH = 255
# Controls, lone surrogates and line separators: some store, log or exposition format chokes on each of them.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


def name_problem(name: str) -> str | None:
    """Return what is wrong with ``name``, or None: not blank, at most 255 characters, none of them a control."""
    if not name or name.isspace():
        return "is empty"
    if len(name) > MAXIMUM_LENGTH:
        return f"has {len(name)} characters, more than {MAXIMUM_LENGTH}"
    # Nearly every name is printable, which is quick to see.
    if not name.isprintable() and any(unicodedata.category(character) in _REFUSED_CATEGORIES for character in name):
        return "has a control character or a line break"
    return None
