"""The account of the workers when the gateway was started as root.

The parent stays root, because a reload reads keys and opens ports below 1024. Workers talk to peers, so
they give up both rights.
"""

from __future__ import annotations

import os
import pwd

from wsgw.errors import ConfigError, ConfigProblem

#: The accounts to try, in this order, if ``user`` is not set.
_DEFAULT_ACCOUNTS = ("wsgw", "nobody")


def worker_account(name: str) -> pwd.struct_passwd | None:
    """The account ``name``, or the default account if it is empty; None to keep the account of this process.

    Raises ConfigError if the account does not exist, or if this process may not change to it.
    """
    found = _account(name)
    if os.geteuid() != 0:
        if name and (found is None or found.pw_uid != os.geteuid()):
            raise _problem(f"only root can run the workers as {name}: start wsgw as root, or remove user")
        return None
    if found is None:
        advice = "set user to an existing account, or to root to keep the workers root"
        raise _problem(f"there is no account {name or 'nobody'}: {advice}")
    return found if found.pw_uid != 0 else None


def become(account: pwd.struct_passwd) -> None:
    """Change to ``account`` for good, supplementary groups included. Raises OSError."""
    os.initgroups(account.pw_name, account.pw_gid)
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)


def _account(name: str) -> pwd.struct_passwd | None:
    for candidate in (name,) if name else _DEFAULT_ACCOUNTS:
        try:
            return pwd.getpwnam(candidate)
        except KeyError:
            continue
    return None


def _problem(reason: str) -> ConfigError:
    return ConfigError([ConfigProblem("user", 0, reason)])
