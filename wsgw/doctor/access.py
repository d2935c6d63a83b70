"""Whether the account of the running gateway can read the files that its next reload reads."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

from wsgw.config.files import why_unreadable
from wsgw.config.model import Config
from wsgw.doctor.finding import Finding, Verdict
from wsgw.doctor.inquiry import Check, Inquiry
from wsgw.doctor.ports import running_gateway

#: Seconds for the program that tries one file.
_PATIENCE = 10.0


def _check(inquiry: Inquiry) -> Iterator[Finding]:
    """Only root can try it for another account; another account lacks rights itself."""
    config = inquiry.config
    holder = running_gateway(config) if config is not None and os.geteuid() == 0 else None
    if config is None or holder is None or holder.uid == 0:
        return
    for path in _files(config):
        if path.exists() and not _reads(holder.uid, path):
            state = why_unreadable(path, PermissionError()).removeprefix("cannot be read: ")
            yield Finding(
                "access.file",
                str(path),
                Verdict.FAILED,
                f"the account {holder.account} cannot read it at the next reload: {state}",
                f"let {holder.account} enter the directories and read the file (chgrp, chmod g+r)",
            )


def _files(config: Config) -> list[Path]:
    named = [Path(config.source)] if config.source else []
    named += config.certfiles
    for listener in config.listeners:
        named += [*listener.certfiles, *filter(None, [listener.upstream_cafile])]
    return list(dict.fromkeys(named))


def _reads(uid: int, path: Path) -> bool:
    """Whether the account can read the file, with its groups and by all directories above."""
    try:
        account = pwd.getpwuid(uid)
    except KeyError:  # it has no name, and so no groups
        groups, gid = [], uid
    else:
        groups, gid = os.getgrouplist(account.pw_name, account.pw_gid), account.pw_gid
    # Without the environment: the account could read the password of --account from it.
    tried = subprocess.run(
        ["test", "-r", path],
        user=uid,
        group=gid,
        extra_groups=groups,
        env={"PATH": os.defpath},
        check=False,
        timeout=_PATIENCE,
    )
    return tried.returncode == 0


ACCESS = Check("access", _check)
