"""Every error hwgen raises on purpose: what, where, found, expected, next step."""

from __future__ import annotations


class HwgenError(Exception):
    """A failure with one clear message. `exit_status` is what the command line returns.

    Parameters
    ----------
    what : str
        One sentence: what is wrong.
    where : str, optional
        File, line, key or layer, as ``model.yaml:21: hardware.clock_period_ns``.
    found, expected : str, optional
        The value met, and what would have been accepted.
    hint : str, optional
        The next step for the user.
    """

    exit_status = 2

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        found: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.what, self.where, self.found, self.expected, self.hint = what, where, found, expected, hint
        super().__init__(self.render())

    def render(self) -> str:
        """Return the message as the screen shows it (without the leading ``error:``)."""
        head = f"{self.where}: {self.what}" if self.where else self.what
        rows = [("found", self.found), ("expected", self.expected), ("next", self.hint)]
        return "\n".join([head] + [f"  {label:<9} {text}" for label, text in rows if text])


class SpecError(HwgenError):
    """model.yaml is wrong."""


class DataError(HwgenError):
    """The data set is missing, empty, not finite or does not fit the model."""


class ModelError(HwgenError):
    """The network or its file cannot be used: unsupported layer or quantizer, corrupt file."""


class NumericsError(HwgenError):
    """A number format cannot hold what it must hold, or a value is off its grid."""


class GraphError(HwgenError):
    """A graph breaks one of its invariants; seen by users only when hwgen has a bug."""

    exit_status = 1


class OutputError(HwgenError):
    """The output folder cannot be written (permission, disk full, not a folder)."""


class ProofError(HwgenError):
    """A check ran and failed: a mismatch, a simulator that hangs or crashes."""

    exit_status = 1


class RequirementError(HwgenError):
    """A `target` or `verify.require` is not met."""

    exit_status = 3


class ToolMissing(HwgenError):
    """A requested stage could not run because a program is not there."""

    exit_status = 4


class ErrorList(HwgenError):
    """Several errors of one input, shown together."""

    def __init__(self, errors: list[HwgenError]) -> None:
        self.errors = errors
        self.exit_status = max((e.exit_status for e in errors), default=2)
        Exception.__init__(self, self.render())

    def render(self) -> str:
        """Return every message, one after the other."""
        return "\n".join(e.render() for e in self.errors)
