"""The error that ends a run: a broken invariant."""


class BreachError(AssertionError):
    """An invariant doesn't hold."""
