"""The one error of this package."""


class ModelError(ValueError):
    """A model cannot be built, loaded or run as asked; the message is one line that says what to do."""
