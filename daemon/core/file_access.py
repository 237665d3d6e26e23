"""Owners and permissions of files, for error texts that name the fix."""

import os
import pwd
import stat
from pathlib import Path

_EFFECTIVE = os.access in os.supports_effective_ids


def user_name(user_id: int) -> str:
    """Return the name of a user; ``#1234``, which sudo accepts too, if the user has no name."""
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return f"#{user_id}"


def is_present(path: Path) -> bool:
    """Return whether ``path`` exists; also true if access is denied, because opening it then reports the reason."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def reason_of(error: Exception, fix: str = "", *files: Path | None) -> str:
    """Return why a file cannot be used, and the fix.

    Args:
        error: the error of the operation.
        fix: the fix, unless permission is denied: then owner, mode and user are named.
        *files: the files that were read, for errors without a file name, such as those of ``ssl``.
    """
    if isinstance(error, PermissionError):
        unreadable = (file for file in files if file is not None and not may(file, os.R_OK))
        denied = next(unreadable, None) if error.filename is None else Path(os.fsdecode(error.filename))
        if denied is not None:
            return permission_denied(denied)
    reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", None)
    return f"{reason or error}; {fix}" if fix else str(reason or error)


def permission_denied(path: Path) -> str:
    """Return the owner of ``path``, or of the first directory above it without access, and the fix."""
    way = (*reversed(path.absolute().parents), path.absolute())
    closed = next((part for part in way[:-1] if not may(part, os.X_OK)), way[-1])
    # a file that cannot be created does not exist: its directory denies it
    closed = closed if os.path.lexists(closed) else closed.parent
    found = closed.stat()
    owner, user = user_name(found.st_uid), user_name(os.geteuid())
    return (
        f"permission denied: {closed} is owned by {owner} (mode {stat.S_IMODE(found.st_mode):04o}), and this command "
        f"runs as {user}; give {user} access with chown or chmod, or run the command as {owner}"
    )


def may(path: Path, access: int) -> bool:
    """Return whether this user has ``access`` (``os.R_OK``, ``os.W_OK`` or ``os.X_OK``) to ``path``."""
    return os.access(path, access, effective_ids=_EFFECTIVE)
