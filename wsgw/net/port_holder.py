"""Finds in /proc which process uses a TCP port, for the error message about a port in use.

Only root and the account of that process can see the process; other accounts see only its account.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import pairwise
from pathlib import Path

#: The state of a listening socket in /proc/net/tcp.
_LISTEN = "0A"
_TABLES = ("tcp", "tcp6")
#: Characters of a command line that are shown.
_SHOWN = 40
#: Programs for which the command line is shown, because their name says little.
_INTERPRETERS = ("python", "node", "ruby", "perl", "java")


@dataclass(frozen=True)
class Holder:
    """The owner of a socket on the port."""

    uid: int
    #: None if this process may not see it.
    pid: int | None = None
    #: The command line.
    command: tuple[str, ...] = ()
    #: The name of the process for the kernel (proc(5): comm).
    name: str = ""
    #: Whether the socket listens; otherwise it is the local end of a connection.
    listens: bool = True

    @property
    def is_wsgw(self) -> bool:
        """Whether the process is probably wsgw: by its command line or, if that is hidden, its account."""
        if self.pid is None:
            return self.account == "wsgw" or self.uid == os.geteuid() != 0
        program, *arguments = self.command or ("",)
        starts = [program, *arguments[:1]]
        return "wsgw" in map(_base_name, starts) or ("-m", "wsgw") in pairwise(arguments)

    @property
    def is_systemd(self) -> bool:
        """Whether the process is systemd, for a socket unit; process 1 of a container may be any program."""
        return self.pid == 1 and self.name in ("systemd", "init")

    @property
    def account(self) -> str:
        """The name of the process's account, or its number if it has no name."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)

    def __str__(self) -> str:
        if self.pid is None:
            return f"a program of the account {self.account}"
        name = self.name
        if name.startswith(_INTERPRETERS) and self.command:
            name = " ".join([_base_name(self.command[0]), *self.command[1:3]])[:_SHOWN]
        shown = f"{name} (process {self.pid})"
        return shown if self.listens else f"a connection of {shown}"


def holder_of(ip: str, port: int) -> Holder | None:
    """The owner of a socket that prevents listening on ``ip`` and ``port``; None if none can be seen."""
    rows = sorted(_rows(ip, port), key=lambda row: row[0] != _LISTEN)
    for state, uid, inode in rows:
        pid = _process_with(inode)
        if pid is None:
            return Holder(uid, listens=state == _LISTEN)
        return Holder(uid, pid, _command(pid), _name(pid), state == _LISTEN)
    return None


def _rows(ip: str, port: int) -> Iterator[tuple[str, int, str]]:
    """(state, uid, inode) of the sockets that prevent listening."""
    wanted = _plain(ip_address(ip))
    for table in _TABLES:
        try:
            lines = Path(f"/proc/net/{table}").read_text("ascii").splitlines()[1:]
        except OSError:  # a machine without IPv6, for example
            continue
        for line in lines:
            fields = line.split()
            address, _, number = fields[1].partition(":")
            if int(number, 16) != port or fields[9] == "0":  # a closing socket belongs to no process
                continue
            there = _plain(_address(address))
            if there == wanted or there.is_unspecified or wanted.is_unspecified:
                yield fields[3], int(fields[7]), fields[9]


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _address(text: str) -> IPv4Address | IPv6Address:
    """The address in a field of /proc/net/tcp: words of four bytes, in the byte order of the machine."""
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    packed = b"".join(words)
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def _process_with(inode: str) -> int | None:
    """The oldest process that holds the socket, as the others are usually its children."""
    wanted, found = f"socket:[{inode}]", []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            with os.scandir(folder / "fd") as entries:
                if any(_link(entry.path) == wanted for entry in entries):
                    found.append(int(folder.name))
        except OSError:  # the process has ended, or this account may not look at it
            continue
    return min(found, default=None)


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _command(pid: int) -> tuple[str, ...]:
    try:
        text = Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace")
    except OSError:
        return ()
    return tuple("".join(c if c.isprintable() else "?" for c in part) for part in text.split("\0") if part)


def _name(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
    except OSError:
        return "a program"
    return "".join(character if character.isprintable() else "?" for character in text)


def _base_name(path: str) -> str:
    return path.rpartition("/")[2]
