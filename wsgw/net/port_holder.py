"""Which process holds a TCP port, as /proc says it, for an admin who finds the port in use.

Only root, and who holds it, sees the process; others see the account. Nothing is decided by it but words.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import pairwise
from pathlib import Path

#: States in /proc/net/tcp.
_LISTEN = "0A"
_TABLES = ("tcp", "tcp6")
#: Of a command line, so much is shown, in characters.
_SHOWN = 40
#: Programs whose own name says little.
_INTERPRETERS = ("python", "node", "ruby", "perl", "java")


@dataclass(frozen=True)
class Holder:
    """A socket that has the port."""

    uid: int
    #: None if it cannot be seen.
    pid: int | None = None
    command: tuple[str, ...] = ()
    #: What the system calls the process.
    name: str = ""
    #: It takes connections there; otherwise the port is that of a connection to elsewhere.
    listens: bool = True

    @property
    def is_wsgw(self) -> bool:
        """Whether it is a gateway, as far as can be seen."""
        if self.pid is None:
            return self.account == "wsgw" or self.uid == os.geteuid() != 0
        program, *arguments = self.command or ("",)
        starts = [program, *arguments[:1]]
        return "wsgw" in map(_base_name, starts) or ("-m", "wsgw") in pairwise(arguments)

    @property
    def is_systemd(self) -> bool:
        """Whether it is systemd, for a socket unit; process 1 of a container may be any program."""
        return self.pid == 1 and self.name in ("systemd", "init")

    @property
    def account(self) -> str:
        """The name of its account, or the number."""
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
    """The socket that keeps ``ip`` and ``port`` from being listened on; None if there is none to be seen."""
    rows = sorted(_rows(ip, port), key=lambda row: row[0] != _LISTEN)
    for state, uid, inode in rows:
        pid = _process_with(inode)
        if pid is None:
            return Holder(uid, listens=state == _LISTEN)
        return Holder(uid, pid, _command(pid), _name(pid), state == _LISTEN)
    return None


def _rows(ip: str, port: int) -> Iterator[tuple[str, int, str]]:
    """(state, account, inode) of the sockets in the way."""
    wanted = _plain(ip_address(ip))
    for table in _TABLES:
        try:
            lines = Path(f"/proc/net/{table}").read_text("ascii").splitlines()[1:]
        except OSError:  # a machine without IPv6, say
            continue
        for line in lines:
            fields = line.split()
            address, _, number = fields[1].partition(":")
            if int(number, 16) != port or fields[9] == "0":  # one that is closing belongs to no process
                continue
            there = _plain(_address(address))
            if there == wanted or there.is_unspecified or wanted.is_unspecified:
                yield fields[3], int(fields[7]), fields[9]


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _address(text: str) -> IPv4Address | IPv6Address:
    """The kernel writes words of four bytes, each in the machine's order."""
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    packed = b"".join(words)
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def _process_with(inode: str) -> int | None:
    """The oldest of the processes that hold a socket, which is the parent of the others."""
    wanted, found = f"socket:[{inode}]", []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            with os.scandir(folder / "fd") as entries:
                if any(_link(entry.path) == wanted for entry in entries):
                    found.append(int(folder.name))
        except OSError:  # it has ended, or is not ours to look at
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
