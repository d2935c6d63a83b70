"""The gateway as its users run it: ``python -m wsgw --config FILE`` in a separate process."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.support.certificates import Certificate
from tests.support.processes import ROOT, Child, ReservedPort, children_of

#: The file of a migrating admin: a stock c2s listener, and the two tuples of the old module's README,
#: once plain and once with TLS.
ERLANG_CONFIG = """\
%% -*- erlang -*-
{{loglevel, 4}}.
{{hosts, ["{domain}"]}}.
{{workers, 2}}.
{{drain_timeout, 1}}.
{{listen, [
  {{{c2s_port}, ejabberd_c2s, [
    {{ip, {{127,0,0,1}}}},
    {{access, c2s}},
    {{shaper, c2s_shaper}},
    {c2s_options}{{max_stanza_size, 65536}}
  ]}},
  {{{ws_port}, websocket_session, [
    {ws_options}{{ip, {{127,0,0,1}}}},
    {{request_handlers, [{{["ws-xmpp"], mod_websocket}}]}}
  ]}},
  {{{wss_port}, websocket_session, [
    {ws_options}{{ip, {{127,0,0,1}}}},
    {{request_handlers, [{{["ws-xmpp"], mod_websocket}}]}},
    {{tls, true}},
    {{certfile, "{certfile}"}}
  ]}}
]}}.
{{auth_method, internal}}.
{{shaper, normal, {{maxrate, 1000}}}}.
{{access, c2s_shaper, [{{none, admin}}, {{normal, all}}]}}.
{{access, c2s, [{{deny, blocked}}, {{allow, all}}]}}.
{{modules, [
  {{mod_roster, []}},
  {{mod_websocket, []}}
]}}.
{top_level}"""

#: ``python -c _CHANGED JSON FUNCTION ...``: the gateway, after a change of constants of its modules and a
#: call of a function.
_CHANGED = """
import importlib, json, runpy, sys
for name, value in json.loads(sys.argv.pop(1)).items():
    module, _, constant = name.rpartition(".")
    module = importlib.import_module(module)
    assert hasattr(module, constant), name
    setattr(module, constant, value)
module, _, function = sys.argv.pop(1).partition(":")
if function:
    getattr(importlib.import_module(module), function)()
runpy.run_module("wsgw", run_name="__main__", alter_sys=True)
"""


class Gateway:
    """One running gateway. Without ``config`` it gets ``ERLANG_CONFIG`` for the XMPP server at ``c2s_port``.

    ``ws_options``, ``c2s_options`` and ``top_level`` are Erlang text put into that file: list items each
    followed by a comma, and whole terms. With ``flags`` there is no file, and one plain listener. The workers
    run as ``user`` if the test runs as root, whose files only root may read. Without ``asks`` the server is
    not checked at the start: a scripted one takes the first connection for a client's. ``constants`` are
    deadlines in seconds that no option shortens, by dotted name: for tests of the end of such a deadline.
    ``before`` is a function, ``module:name``, that the process calls first.
    """

    path = "/ws-xmpp"

    def __init__(
        self,
        folder: Path,
        certificate: Certificate,
        c2s_port: int,
        *,
        config: str | None = None,
        domain: str = "localhost",
        ws_options: str = "",
        c2s_options: str = "",
        top_level: str = "",
        flags: bool = False,
        arguments: Iterable[str] = (),
        user: str = "root",
        asks: bool = False,
        env: Mapping[str, str] | None = None,
        constants: Mapping[str, float] | None = None,
        before: str = "",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "wsgw.log"
        self.config = folder / "ejabberd.cfg"
        self._env = dict(env or {})
        self._program = ["-m", "wsgw"]
        if constants or before:
            self._program = ["-c", _CHANGED, json.dumps(constants or {}), before]
        self._arguments = [*arguments, *(["--user", user] if os.geteuid() == 0 else [])]
        self._arguments += [] if asks else ["--offline"]
        self._flags = flags
        self._upstream = f"tcp://127.0.0.1:{c2s_port}"
        self._domain = domain
        self._ports = [ReservedPort(), ReservedPort()]
        self.ws_port, self.wss_port = (port.number for port in self._ports)
        self.config.write_text(
            (ERLANG_CONFIG if config is None else config).format(
                domain=domain,
                c2s_port=c2s_port,
                ws_port=self.ws_port,
                wss_port=self.wss_port,
                certfile=certificate.pem,
                ws_options=ws_options,
                c2s_options=c2s_options,
                top_level=top_level,
            ),
            encoding="utf-8",
        )
        self._child: Child | None = None

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.ws_port}{self.path}"

    @property
    def wss(self) -> str:
        return f"wss://localhost:{self.wss_port}{self.path}"

    @property
    def child(self) -> Child:
        assert self._child is not None, "the gateway is not running"
        return self._child

    @property
    def workers(self) -> list[int]:
        """The pids of the processes that serve."""
        return children_of(self.child.pid)

    def start(self) -> Gateway:
        source = ["--config", str(self.config)]
        if self._flags:
            source = ["--listen", f"127.0.0.1:{self.ws_port}", "--domain", self._domain]
            source += ["--upstream", self._upstream]
        argv = [sys.executable, *self._program, *source, *self._arguments]
        self._child = Child(argv, self.log, {"PYTHONUNBUFFERED": "1", **self._env}, cwd=ROOT)
        self._child.wait_for_ports(*([self.ws_port] if self._flags else [self.ws_port, self.wss_port]))
        return self

    def stop(self, seconds: float = 40) -> int | None:
        """Send SIGTERM; returns the exit status, or None if it had to be killed."""
        status = self.child.terminate(seconds)
        self._child = None
        return status

    def close(self) -> None:
        """Kill the processes that still run, and release the ports."""
        if self._child is not None:
            self._child.kill()
            self._child = None
        for port in self._ports:
            port.release()

    def assert_clean_log(self, accounts: Mapping[str, str]) -> None:
        """Assert a log without a traceback and without a password, in clear or as SASL PLAIN sends it."""
        text = self.log.read_text("utf-8", "replace")
        assert "Traceback (most recent call last)" not in text, text[-8000:]
        for user, password in accounts.items():
            for secret in spellings(user, password):
                assert secret not in text, f"the log holds a secret of {user}: {self.log}"


def spellings(user: str, password: str) -> list[str]:
    """The password, and base64 texts that show it: the PLAIN message, and the three alignments."""
    spellings = [password, base64.b64encode(f"\0{user}\0{password}".encode()).decode()]
    raw = password.encode()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw).decode()
        spellings.append(encoded[(shift * 8 + 5) // 6 : len(encoded) - 4])
    return spellings
