"""The real servers, the gateway and the accounts as fixtures."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.support.certificates import Certificate, make_certificate
from tests.support.gateway import Gateway
from tests.support.processes import ROOT
from tests.support.servers import Demo, Ejabberd, Missing, Prosody, Server

#: In the order in which a matrix runs them.
SERVERS: dict[str, type[Server]] = {"ejabberd": Ejabberd, "prosody": Prosody, "demo": Demo}


Make = Callable[..., Certificate]


def missing(reason: str) -> NoReturn:
    """Skip the test; with CI=true, where every program must be installed, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@dataclass(frozen=True)
class Account:
    user: str
    password: str
    domain: str = "localhost"

    @property
    def jid(self) -> str:
        return f"{self.user}@{self.domain}"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for ``localhost`` and 127.0.0.1, signed by a CA of this test run."""
    if shutil.which("openssl") is None:
        missing("openssl is not installed")
    return make_certificate(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """``make(name, ...)``: a certificate valid from now on for 30 days; the same for the same arguments."""
    made: dict[str, Certificate] = {}

    def certificate(name: str = "example.org", **settings: object) -> Certificate:
        key = f"{name} {settings}"
        if key not in made:
            folder = tmp_path_factory.mktemp("certificate")
            given: dict[str, Any] = {"extra": "", **settings}
            made[key] = make_certificate(folder, name, **given)
        return made[key]

    return certificate


@pytest.fixture(scope="session")
def start_server(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> Iterator[Callable[[str], Server]]:
    """``start_server(name)``: the test run's server of that name, started by the first call."""
    running: dict[str, Server] = {}

    def start(name: str) -> Server:
        if name not in running:
            server = SERVERS[name](tmp_path_factory.mktemp(name), certificate, storing=True)
            try:
                running[name] = server.start()
            except Missing as absence:
                missing(str(absence))
            finally:
                if name not in running:
                    server.close()
            # The demo server has these two already.
            for user in ("alice", "bob") if name != "demo" else ():
                server.register(user, f"secret-{secrets.token_hex(8)}")
        return running[name]

    yield start
    for server in running.values():
        server.close()


@pytest.fixture
def ejabberd(start_server: Callable[[str], Server]) -> Server:
    return start_server("ejabberd")


@pytest.fixture
def prosody(start_server: Callable[[str], Server]) -> Server:
    return start_server("prosody")


@pytest.fixture(params=list(SERVERS))
def server(request: pytest.FixtureRequest, start_server: Callable[[str], Server]) -> Server:
    """Each server in turn."""
    return start_server(request.param)


@pytest.fixture(scope="session")
def start_gateway(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> Iterator[Callable[[Server], Gateway]]:
    """``start_gateway(server)``: the gateway of the test run in front of it; its log must be clean."""
    running: dict[str, tuple[Gateway, Server]] = {}

    def start(server: Server) -> Gateway:
        if server.name not in running:
            gateway = Gateway(tmp_path_factory.mktemp(f"wsgw-{server.name}"), certificate, server.c2s_port)
            try:
                running[server.name] = (gateway.start(), server)
            finally:
                if server.name not in running:
                    gateway.close()
        return running[server.name][0]

    yield start
    statuses = {}
    for name, (gateway, _) in running.items():
        statuses[name] = gateway.stop()
        gateway.close()
    assert all(status == 0 for status in statuses.values()), f"exit status after SIGTERM: {statuses}"
    for gateway, server in running.values():
        gateway.assert_clean_log(server.accounts)


@pytest.fixture
def gateway(server: Server, start_gateway: Callable[[Server], Gateway]) -> Gateway:
    """The gateway in front of ``server``."""
    return start_gateway(server)


@pytest.fixture(scope="session")
def new_account() -> Callable[[Server], Account]:
    """``new_account(server)``: an account for this test only, with a password unique to it."""
    numbers = itertools.count()

    def create(server: Server) -> Account:
        account = Account(f"user{next(numbers)}", f"secret-{secrets.token_hex(8)}")
        server.register(account.user, account.password)
        return account

    return create


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium that the browser driver starts; axe-core checks its pages."""
    for package in ("playwright-core", "axe-core"):
        if not (ROOT / "node_modules" / package).is_dir():
            missing(f"{package} is not installed (npm ci)")
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return found or missing("no Chromium found (Debian package chromium)")


@pytest.fixture(scope="session")
def node() -> str:
    """Path of a Node.js that runs the clients, with their packages installed."""
    if not (ROOT / "node_modules" / "strophe.js").is_dir():
        missing("the npm packages are not installed (npm ci)")
    ours = ROOT / ".node" / "node_modules" / "node" / "bin" / "node"
    program = os.environ.get("NODE") or (str(ours) if ours.exists() else shutil.which("node"))
    if program is None or not Path(program).exists():
        missing("no Node.js found")
    return program
