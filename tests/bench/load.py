"""Drives the load generator: commands in, one JSON object out for each."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.bench import tree
from tests.bench.programs import compiled

#: The generator's own deadlines are shorter.
_ANSWER_SECONDS = 200.0


class LoadError(Exception):
    """The generator has ended, or has received an unexpected answer."""


class Load:
    """A running generator for one WebSocket address. Its methods raise LoadError if it counted an error."""

    def __init__(self, url: str, log: Path, *, accounts: int = 1, resource: str = "r") -> None:
        self.url = url
        parts = urlsplit(url)
        argv = [str(compiled("load")), str(parts.port), parts.path, "localhost", str(accounts), resource]
        if parts.scheme == "wss":
            argv.append("tls")
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, bufsize=0
            )
        self._rest = b""
        self.log = log

    def login(self, sessions: int, parallel: int = 16) -> dict[str, Any]:
        """Open so many more sessions, at most ``parallel`` logins at a time."""
        answer = self._ask(f"login {sessions} {parallel}", _ANSWER_SECONDS)
        if answer["errors"]:
            raise LoadError(f"logging in: {answer['errors']} errors, first: {answer['first_error']}")
        return answer

    def run(
        self, seconds: float, body: int = 100, *, flight: int = 1, sessions: int = 0, rate: float = 0
    ) -> dict[str, Any]:
        """Send messages with bodies of ``body`` bytes over the first ``bindings`` (0: all), for ``seconds``.

        With ``rate``, so many each second in all; otherwise ``flight`` are in flight on each session.
        """
        answer = self._ask(f"run {seconds} {body} {flight} {sessions} {rate}", seconds + 60)
        if answer["errors"]:
            raise LoadError(f"{answer['errors']} errors, first: {answer['first_error']}")
        return answer

    def logout(self) -> dict[str, Any]:
        """End every session; returns when the server has closed them all."""
        return self._ask("logout", _ANSWER_SECONDS)

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu(self) -> tree.Cpu:
        return tree.cpu(self.pid)

    def close(self) -> None:
        """End the generator; its connections are closed without the end of their streams."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _ask(self, command: str, seconds: float) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command.encode("ascii") + b"\n")
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self._process.stdout], [], [], seconds)
            chunk = self._process.stdout.read(65536) if ready else b""
            if not chunk:
                raise LoadError(f"no answer to {command!r}: {self.log.read_text('utf-8', 'replace')[-500:]}")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer
