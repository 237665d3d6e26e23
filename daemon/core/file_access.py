"""Who owns a file, and why it cannot be used."""

import os
import pwd
import stat
from pathlib import Path

_EFFECTIVE = os.access in os.supports_effective_ids


def user_name(user_id: int) -> str:
    """Return the name of a user; ``#1234``, which sudo accepts too, where the system knows none."""
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return f"#{user_id}"


def is_present(path: Path) -> bool:
    """Return whether ``path`` exists; also true where permission to look is denied, as opening it then says why."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def reason_of(error: Exception, fix: str = "", *files: Path | None) -> str:
    """Return why a file cannot be used and what to do.

    Args:
        error: what using it raised.
        fix: what to do, unless permission is denied: then the owner, the mode and the user say it.
        *files: what was read, for an error that does not name its file, as those of ``ssl``.
    """
    if isinstance(error, PermissionError):
        unreadable = (file for file in files if file is not None and not may(file, os.R_OK))
        denied = next(unreadable, None) if error.filename is None else Path(os.fsdecode(error.filename))
        if denied is not None:
            return permission_denied(denied)
    reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", None)
    return f"{reason or error}; {fix}" if fix else str(reason or error)


def permission_denied(path: Path) -> str:
    """Return who owns ``path``, or the first directory on the way to it that is closed, and how to get access."""
    way = (*reversed(path.absolute().parents), path.absolute())
    closed = next((part for part in way[:-1] if not may(part, os.X_OK)), way[-1])
    # a file that cannot be created is not there: its directory denied it
    closed = closed if os.path.lexists(closed) else closed.parent
    found = closed.stat()
    owner, user = user_name(found.st_uid), user_name(os.geteuid())
    return (
        f"permission denied: {closed} is owned by {owner} (mode {stat.S_IMODE(found.st_mode):04o}), and this runs as "
        f"{user}; give {user} access with chown or chmod, or run the command as {owner}"
    )


def may(path: Path, access: int) -> bool:
    """Return whether this user has ``access``, of ``os.R_OK``, ``os.W_OK`` and ``os.X_OK``, to ``path``."""
    return os.access(path, access, effective_ids=_EFFECTIVE)
