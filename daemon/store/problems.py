"""What went wrong with a store, in the words of the person who has to mend it."""

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from daemon.domain.errors import StoreUnavailable

# Part of the driver's message, in lower case, and what to do about it.
_FIXES = (
    (
        "file is not a database",
        "the file is something else or damaged; move it away or name another in the url",
    ),
    ("malformed", "the file is damaged; move it away with its -wal and restore a backup or start empty"),
    ("unable to open", "check that the directory exists and that this user may read and write it"),
    ("readonly", "make the file and its directory writable for this user"),
    ("permission denied", "make the file and its directory writable for this user"),
    ("disk is full", "free space on that disk, or shorten the retention"),
    ("no space left", "free space on that disk, or shorten the retention"),
    ("disk i/o error", "check that disk and the kernel's log"),
    ("locked", "another process holds the store for too long; see who has the file open"),
    ("lock timeout", "another process holds the store for too long; see pg_stat_activity"),
    ("password authentication failed", "check the user and the password in the url"),
    ("does not exist", "create it, or correct the url"),
    ("connection", "check that the server runs and that the url names its host and port"),
    ("queuepool limit", "too many requests at once; a slow disk is the usual cause"),
)


def unavailable(url: URL, error: BaseException) -> StoreUnavailable:
    """Return ``error`` as a StoreUnavailable that names the store (no password), the cause and the fix."""
    cause = str(error.orig if isinstance(error, DBAPIError) and error.orig else error).strip()
    cause = " ".join(cause.split())
    fix = next((fix for part, fix in _FIXES if part in cause.lower()), "check the url and what this user may do there")
    return StoreUnavailable(f"store {shown(url)}: {cause}; {fix}")


def shown(url: URL) -> str:
    """Return ``url`` with its password hidden, and without its query, which may hold one as well."""
    return url.set(query={}).render_as_string(hide_password=True)
