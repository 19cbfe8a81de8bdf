"""
Errors, named for what happens next.

    Error                      exit 1   something else went wrong; the message says what
    |-- ConfigError            exit 2   the operator must edit something
    |-- PositionLost           exit 3   the source can no longer give what follows the checkpoint
    |-- Fenced                 exit 4   another instance took over; this one must stop
    |-- UnreadableData         exit 5   a log event or a record cannot be read; nothing was skipped
    |-- SourceUnavailable      exit 1   the server does not answer; a running capture tries again first
    `-- KafkaUnavailable       exit 1   Kafka did not take a batch in time; a restart goes on with it

A message is one line of fact, followed by indented lines that say what to do.
"""


class Error(Exception):
    """The root: whatever the command line turns into one clear message and an exit code."""

    exit_code = 1

    def __init__(self, found: str, *, fix: str = "") -> None:
        super().__init__(found if not fix else f"{found}\n{fix}")
        self.found = found
        self.fix = fix


class ConfigError(Error):
    """A setting, a grant or a server variable must be changed by a person."""

    exit_code = 2


class PositionLost(Error):
    """What follows the checkpoint is gone from the source, or the checkpoint itself is."""

    exit_code = 3


class Fenced(Error):
    """Another instance captures the same source."""

    exit_code = 4


class UnreadableData(Error):
    """An event or a record that cannot be read, and must not be skipped in silence."""

    exit_code = 5


class SourceUnavailable(Error):
    """The source does not answer, or ended the connection."""


class KafkaUnavailable(Error):
    """Kafka does not answer, or not in the time that a transaction has."""
