"""A fake systemd: runs the staged unit, obeys sd_notify, sends signals."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from tests.deploy.staging import Stage
from tests.support.processes import Child, wait_until

SECONDS = 30.0
_SIGNALS = {"USR2": signal.SIGUSR2, "HUP": signal.SIGHUP}


class Systemd:
    """Answers one command at a time, in a thread. ``calls`` are those that change the system, in order."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.folder = stage.root.parent
        self.log = self.folder / "journal"
        self.log.touch()
        self.calls: list[str] = []
        self.accounts: set[str] = set()
        self.enabled: set[str] = set()
        self.main_pid = 0
        self.status = ""
        #: The units at the time of the last reading.
        self.units: dict[str, bytes] = self._units()
        self.children: list[Child] = []
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(self.folder / "s"))
        self._server.listen()
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(self.folder / "n"))
        program = self.folder / "system"
        command = shlex.join([sys.executable, str(Path(__file__).parent / "ask_systemd.py")])
        program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        stage.env["WSGW_SYSTEM"] = str(program)
        stage.env["WSGW_TEST_SYSTEMD"] = str(self.folder / "s")
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._serve, self._hear)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        for sock in (self._server, self._notify):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(SECONDS)
        for child in self.children:
            child.kill()

    # The process

    def start(self) -> int:
        if self.is_active():
            return 0
        lines = self.stage.service.read_text().splitlines()
        command = next(line.removeprefix("ExecStart=") for line in lines if line.startswith("ExecStart="))
        program, *arguments = command.split()
        env = {
            "NOTIFY_SOCKET": str(self.folder / "n"),
            "WSGW_CONFIG": str(self.stage.config),
            "PYTHONUNBUFFERED": "1",
        }
        child = Child([f"{self.stage.root}{program}", *arguments], self.log, env, cwd=Path("/"))
        self.children.append(child)
        self.main_pid = child.pid
        return 0

    def stop(self) -> int:
        """Send SIGTERM to the main process, then SIGKILL to the rest, as with KillMode=mixed."""
        if self.is_active():
            os.kill(self.main_pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: not self.is_active(), SECONDS, "the gateway's end")
        for child in self.children:
            child.kill()
        self.children.clear()
        self.main_pid = 0
        return 0

    def is_active(self) -> bool:
        """Whether the main process lives; one that has ended and is not waited for does not."""
        for child in self.children:
            child.returncode  # noqa: B018 - waits for it
        try:
            return Path(f"/proc/{self.main_pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    def signal(self, name: str) -> int:
        if not self.is_active():
            return 1
        os.kill(self.main_pid, _SIGNALS[name])
        return 0

    def _hear(self) -> None:
        with contextlib.suppress(OSError):
            while message := self._notify.recv(4096):
                for name, _, value in (line.partition("=") for line in message.decode().splitlines()):
                    if name == "MAINPID":
                        self.main_pid = int(value)
                    elif name == "STATUS":
                        self.status = value

    # The commands

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                with client, client.makefile("rw") as stream:
                    answer = self._answer(json.loads(stream.readline()))
                    print(json.dumps(answer), file=stream, flush=True)

    def _answer(self, argv: list[str]) -> tuple[int, str]:
        if argv[:2] == ["getent", "passwd"]:
            return (0 if argv[2] in self.accounts else 2), ""
        if argv[0] == "journalctl":
            return 0, self.log.read_text()
        if argv[:2] == ["systemctl", "is-active"]:
            active = self.is_active() if argv[2] == "wsgw.service" else argv[2] in self.enabled
            return (0, "active\n") if active else (3, "inactive\n")
        if argv[:2] == ["systemctl", "show"]:
            properties = {
                "MainPID": self.main_pid if self.is_active() else 0,
                "StatusText": self.status,
                "NeedDaemonReload": "no" if self._units() == self.units else "yes",
            }
            return 0, f"{properties[argv[3]]}\n"
        self.calls.append(" ".join(argv))
        return self._change(argv), ""

    def _change(self, argv: list[str]) -> int:
        commands: dict[str, Callable[[list[str]], int]] = {
            "useradd": lambda words: self.accounts.add(words[-1]) or 0,
            "userdel": lambda words: self.accounts.discard(words[-1]) or 0,
            "systemctl": self._systemctl,
        }
        return commands[argv[0]](argv[1:])

    def _units(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.stage.service.parent.glob("wsgw.*")}

    def _systemctl(self, words: list[str]) -> int:
        verb, unit = words[0], words[-1]
        if verb == "daemon-reload":
            self.units = self._units()
        elif verb == "enable":
            self.enabled.add(unit)
        elif verb == "disable":
            self.enabled.discard(unit)
            return self.stop() if "--now" in words and unit == "wsgw.service" else 0
        elif unit == "wsgw.service":
            if verb == "kill":
                assert words[1] == "--kill-who=main"
                return self.signal(words[2].removeprefix("--signal="))
            if verb == "reload":
                return self.signal("HUP")
            if verb in ("stop", "restart"):
                self.stop()
            if verb in ("start", "restart"):
                return self.start()
        return 0
