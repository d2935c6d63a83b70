"""docs/operations.md agrees with the code: log, refusals, causes, alerts, signals; its commands work."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificate
from tests.support.fixtures import missing
from tests.support.gateway import Gateway
from tests.support.processes import ROOT, ReservedPort, wait_until
from tests.support.wire import Browser
from wsgw.config.options import BY_NAME
from wsgw.errors.causes import CAUSES, Cause, Ending
from wsgw.ops.catalogue import METRICS
from wsgw.processes.parent import SIGNALS

#: The time for a command's answer, in seconds.
SECONDS = 20
DOCS = ROOT / "docs"
PAGE = DOCS / "operations.md"
TEXT = PAGE.read_text("utf-8")
#: The code spans of the first column of each table.
FIRST_COLUMN = "\n".join(
    "\n".join(re.findall(r"`([^`]+)`", line.split(" | ")[0]))
    for line in TEXT.splitlines()
    if line.startswith("| ")
)
_LOGGED = {"info", "warning", "error", "critical", "exception", "log"}
_PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sdg]|\{\}")


def calls(source: str) -> Iterator[tuple[ast.Call, str]]:
    """Each call, and the last part of the called name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            yield node, getattr(node.func, "attr", getattr(node.func, "id", ""))


def message_of(call: ast.Call, method: str) -> str:
    """The format string of a call of a logger; by the house rule it is constant."""
    message = call.args[1 if method == "log" else 0]
    assert isinstance(message, ast.Constant), f"line {call.lineno}: no constant format string"
    return str(message.value)


def logged_by(source: str) -> list[str]:
    """The format strings of a module's log lines at INFO and above."""
    found = []
    for call, method in calls(source):
        if (
            method in _LOGGED
            and isinstance(call.func, ast.Attribute)
            and ast.unparse(call.func.value) in ("log", "_session_log")
        ):
            found.append(message_of(call, method))
    # The only line that is written without a logger.
    found += [
        str(value.value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == "msg" and isinstance(value, ast.Constant)
    ]
    return found


def sources(under: str = "") -> list[Path]:
    return sorted((ROOT / "wsgw" / under).rglob("*.py"))


def section(heading: str) -> str:
    """The text under a heading, up to the next one."""
    return TEXT.partition(f"\n{heading}\n")[2].partition("\n#")[0]


def is_on_page(message: str) -> bool:
    """Whether one code span of a first column has the fixed parts of the message, in order."""
    parts = [part for part in (part.strip() for part in _PLACEHOLDER.split(message)) if part]
    pattern = ".*".join(map(re.escape, parts))
    return bool(parts) and re.search(pattern, FIRST_COLUMN) is not None


MESSAGES = sorted({message for path in sources() for message in logged_by(path.read_text("utf-8"))})
#: Lines that consist of other texts: the errors and warnings of a configuration.
WORDS_OF_OTHERS = {"%s": ("`FILE:LINE: REASON`", "a whole sentence, see below")}


@pytest.mark.parametrize("message", MESSAGES)
def test_every_line_of_the_log_is_on_the_page(message: str) -> None:
    if message in WORDS_OF_OTHERS:
        assert all(row in TEXT for row in WORDS_OF_OTHERS[message])
    else:
        assert is_on_page(message), message


def test_a_line_that_is_not_on_the_page_is_found() -> None:
    assert len(MESSAGES) > 35
    source = (
        'log.error("worker %d of %s has lost its hat", 1, 2)\nlog.log(level, "%(client)s ! sneezed", known)\n'
    )
    assert [is_on_page(message) for message in logged_by(source)] == [False, False]
    assert logged_by('log.info("a %s", b)\nlog.debug("c")\nmath.log("d", "e")') == ["a %s"]
    with pytest.raises(AssertionError):
        logged_by('log.info(f"a {b}")')


def warnings() -> list[str]:
    """The sentences of ``config.warnings``, placeholders in braces."""
    tree = ast.parse((ROOT / "wsgw/config/cross_checks.py").read_text("utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and "warning" in node.name]
    strings = [
        "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.JoinedStr)
    ]
    return sorted({string for string in strings if string.strip("{}")})


@pytest.mark.parametrize("sentence", warnings())
def test_every_warning_about_a_configuration_is_on_the_page(sentence: str) -> None:
    assert is_on_page(sentence)


def refusals() -> list[str]:
    """The phrases of refused WebSocket upgrades and of ends of a connection before its request."""
    found = []
    for path in sources():
        for call, name in calls(path.read_text("utf-8")):
            position = {"HandshakeRefused": 1, "_require": 1, "_refusal": 0, "ProxyProtocolError": 0}.get(
                name
            )
            closed = name == "ConnectionResetError" and call.args
            if position is not None or closed:
                phrase = call.args[position or 0]
                if isinstance(phrase, ast.Constant):
                    found.append(str(phrase.value))
    return sorted(set(found))


@pytest.mark.parametrize("phrase", refusals())
def test_every_refusal_is_on_the_page(phrase: str) -> None:
    assert phrase in FIRST_COLUMN


#: The beginnings of causes on the page that describes their Close code or reason.
ENDINGS = re.findall(r"`([^`]+)`", "".join(re.findall(r"^\| ([^|]*)", section("### Causes"), re.MULTILINE)))


def logged(cause: Cause) -> str:
    """The field ``cause`` of the log, up to its detail."""
    return str(Ending(cause, "{}")).partition("{}")[0]


@pytest.mark.parametrize("cause", CAUSES, ids=logged)
def test_every_cause_is_on_the_page(cause: Cause) -> None:
    assert not logged(cause) or any(logged(cause).startswith(shown_beginning(span)) for span in ENDINGS)


@pytest.mark.parametrize("span", ENDINGS)
def test_every_cause_on_the_page_exists(span: str) -> None:
    assert any(logged(cause).startswith(shown_beginning(span)) for cause in CAUSES)


def shown_beginning(span: str) -> str:
    """The fixed part of a cause on the page; a word in capitals is the peer's text."""
    return re.sub(r"[A-Z]{4,}$", "", span)


def test_every_alert_is_on_the_page_and_no_other() -> None:
    rules = re.findall(r"- alert: (\w+)", (ROOT / "deploy/prometheus-alerts.yml").read_text("utf-8"))
    assert rules
    assert sorted(re.findall(r"`(Wsgw\w+)`", TEXT.partition("## Alerts")[2].partition("\n## ")[0])) == sorted(
        rules
    )


@pytest.mark.parametrize("name", sorted(number.name for number in SIGNALS))
def test_every_signal_is_on_the_page(name: str) -> None:
    assert re.search(rf"^\| [^|]*\b{name}\b", TEXT, re.MULTILINE)


def test_metrics_and_options_on_the_page_exist() -> None:
    named = set(re.findall(r"\bwsgw_[a-z]\w+", TEXT)) - {"wsgw_admin"}
    assert named <= {metric.name for metric in METRICS}
    options = {
        name for name in re.findall(r"`([a-z]+_[a-z_]+)(?:: [^`]*)?`", TEXT) if not name.startswith("wsgw")
    }
    others = {
        "proxy_read_timeout",
        "proxy_set_header",
        "mod_proxy_http",
        "mod_websocket",
        "close_code",
        "websocket_session",
    }
    assert options - others <= set(BY_NAME)


# -- the commands ------------------------------------------------------------------------------------

COMMANDS = [
    line
    for block in re.findall(r"^```sh[^\n]*\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
#: Commands for systemd and its journal, which are not run here.
RUNNABLE = [
    command for command in COMMANDS if not command.startswith(("systemctl", "journalctl -u wsgw -n", "sudo"))
]
#: A part of the output of each command that is run.
ANSWERS = {
    "/readyz": r"^No XMPP server answers the listener on port \d+: tcp://127\.0\.0\.1:\d+: ",
    "/status.json": r'"why_not_ready"',
    "/metrics": r"^wsgw_ready 0\.0$",
    "/ws-xmpp": r"^HTTP/1\.1 101 ",
    "s_client": r"^notAfter=",
    "cause=": r'^ *\d+ cause="connection lost"$',
}


@pytest.fixture(scope="module")
def commanded(
    certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Gateway, int]]:
    """The admin port of a gateway whose XMPP server does not answer and that has lost a browser."""
    admin, nobody = ReservedPort(), ReservedPort()
    top_level = f"{{listen, [{{{admin.number}, wsgw_admin, []}}]}}.\n"
    gateway = Gateway(tmp_path_factory.mktemp("operations"), certificate, nobody.number, top_level=top_level)
    gateway.start().child.wait_for_ports(admin.number)
    Browser(gateway.ws_port).close()
    yield gateway, admin.number
    gateway.close()
    for port in (admin, nobody):
        port.release()


@pytest.mark.parametrize("command", RUNNABLE, ids=range(len(RUNNABLE)))
def test_the_commands_work(command: str, commanded: tuple[Gateway, int]) -> None:
    if shutil.which("curl") is None:
        missing("curl is not installed")
    gateway, admin = commanded
    port = gateway.wss_port if "s_client" in command else gateway.ws_port
    journal, cat = "journalctl -u wsgw --since -1h -o cat", f"cat {gateway.log}"
    for there, here in ((":5288", f":{port}"), (":5289", f":{admin}"), (journal, cat)):
        command = command.replace(there, here)
    [expected] = [answer for mark, answer in ANSWERS.items() if mark in command]
    answer = ""

    def answered() -> bool:
        nonlocal answer
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, timeout=30, check=False
        )
        answer = done.stdout
        return re.search(expected, answer, re.MULTILINE) is not None

    try:
        wait_until(answered, SECONDS, command)
    except TimeoutError as error:
        raise AssertionError(f"{error}: {answer}") from None


def test_no_command_is_left_out() -> None:
    assert len(RUNNABLE) == len(ANSWERS)
