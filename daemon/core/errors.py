"""Every error that forewarn raises on purpose, by what the caller can do about it."""


class ForewarnError(Exception):
    """Root of forewarn's errors; its text names the thing, the value and the fix."""


class ConfigError(ForewarnError):
    """The configuration cannot be used; carries every problem found, not just the first."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class BadMetricsFile(ForewarnError):
    """A metrics file does not have the form of the design; names the file, the column and the row."""


class BadPush(ForewarnError):
    """A push body as a whole is not of the documented form; its text says what is."""


class SourceUnavailable(ForewarnError):
    """A source cannot be reached or refuses to serve; trying again later may help."""


class QueryRejected(ForewarnError):
    """A source answers but refuses one query or stream; the others can still be fetched."""


class StoreUnavailable(ForewarnError):
    """The store cannot be opened, read or written."""


class NotEnoughHistory(ForewarnError):
    """There is too little data to train or to forecast from."""


class BadModel(ForewarnError):
    """A model directory is missing, damaged or made by an incompatible version."""


class ModelNotFound(BadModel):
    """No model of that id, or no model that serves yet."""


class NotifierUnavailable(ForewarnError):
    """An Alertmanager cannot be reached or refuses to serve; what was to be sent stays queued."""


class NotificationRejected(ForewarnError):
    """An Alertmanager answers but refuses an alert; sending it again would not help."""
