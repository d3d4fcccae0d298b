"""What ends a run: an invariant that doesn't hold."""


class BreachError(AssertionError):
    """An invariant doesn't hold."""
