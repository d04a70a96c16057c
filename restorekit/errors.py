"""Errors that a user can mend. The command line prints their one line and leaves; the library raises them."""


class BadInput(ValueError):
    """Something about the input is wrong; the message says what, and the way out."""


class Unsupported(BadInput):
    """A combination that cannot work; the message names what can."""
