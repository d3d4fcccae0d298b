"""A net in a terminal, live or from a recording."""
