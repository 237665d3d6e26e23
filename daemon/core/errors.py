"""The errors of forewarn, one class for each reaction of the caller."""


class ForewarnError(Exception):
    """Base class of all errors; the text names the object, the value and the fix."""


class ConfigError(ForewarnError):
    """The configuration is not valid; contains every problem, not only the first."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class BadMetricsFile(ForewarnError):
    """A metrics file does not have the documented form; names the file, the column and the row."""


class BadPush(ForewarnError):
    """The body of a push as a whole does not have the documented form."""


class SourceUnavailable(ForewarnError):
    """A source cannot be reached or denies access; a later attempt may succeed."""


class QueryRejected(ForewarnError):
    """A source answers but rejects one query or stream; the others can still be fetched."""


class StoreUnavailable(ForewarnError):
    """The store cannot be opened, read or written."""


class NotEnoughHistory(ForewarnError):
    """There is not enough data to train or to forecast."""


class BadModel(ForewarnError):
    """A model directory is missing, corrupt or of an incompatible version."""


class ModelNotFound(BadModel):
    """There is no model with this id, or no serving model."""


class NotifierUnavailable(ForewarnError):
    """An Alertmanager cannot be reached or denies access; the alerts stay queued."""


class NotificationRejected(ForewarnError):
    """An Alertmanager answers but rejects an alert; sending it again would fail too."""
