"""What is written about the metrics is true of them: page, dashboard, rules; promtool finds no fault."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from process.traffic import Traffic
from real.fixtures import missing
from real.processes import ROOT, wait_until

from ops.admin import PATIENCE, Admin
from ops.conftest import StartAdmin
from wsgw.causes import CAUSES, OTHER, classified
from wsgw.config.options import BY_NAME
from wsgw.ops.catalogue import METRICS, table
from wsgw.tally import LIMITS_HIT

PAGE = ROOT / "docs" / "metrics.md"
DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"
ALERTS = ROOT / "deploy" / "prometheus-alerts.yml"
#: When they fire, and when they do not.
ALERTS_FIRED = ROOT / "tests" / "ops" / "alerts.yml"
_NAME = re.compile(r"\bwsgw_\w+")
_SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
SAMPLES = {metric.name + suffix for metric in METRICS for suffix in _SUFFIXES[metric.kind]}


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        missing("promtool is not installed (Debian's package prometheus)")
    return found


def run(*command: str, text: str = "") -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""


def full(start: StartAdmin, traffic: Traffic) -> Admin:
    """A gateway that has something to tell of everything."""
    admin = start(traffic.port)
    traffic.begin(admin.gateway.ws_port, 4)
    assert admin.ask("/readyz").status == 200

    def told_of() -> bool:
        metrics = admin.metrics()
        workers = [key for key in metrics if key[0] == "wsgw_worker_cpu_seconds_total"]
        return len(workers) == 2 and metrics.value("wsgw_sessions_logged_in") == 4

    wait_until(told_of, PATIENCE, "both workers and all sessions")
    return admin


def test_all_that_is_told_of_is_there(start: StartAdmin) -> None:
    with Traffic() as traffic:
        names = full(start, traffic).metrics().names
    #: Their labels are known only when the first has come.
    later = {
        "wsgw_connections_refused_total",
        "wsgw_upstream_connect_failures_total",
    }
    assert SAMPLES - later <= names <= SAMPLES


def test_promtool_finds_nothing_wrong_with_the_metrics(start: StartAdmin, promtool: str) -> None:
    with Traffic() as traffic:
        run(promtool, "check", "metrics", text=full(start, traffic).ask("/metrics").text)


def test_promtool_finds_nothing_wrong_with_the_rules(promtool: str) -> None:
    run(promtool, "check", "rules", str(ALERTS))


def test_alerts_fire_when_they_should(promtool: str) -> None:
    run(promtool, "test", "rules", str(ALERTS_FIRED))


def test_every_alert_is_seen_to_fire_and_to_be_silent() -> None:
    alerts = set(re.findall(r"- alert: (\w+)", ALERTS.read_text("utf-8")))
    assert alerts
    looks = [
        look
        for told in yaml.safe_load(ALERTS_FIRED.read_text("utf-8"))["tests"]
        for look in told["alert_rule_test"]
    ]
    for fires in (True, False):
        assert {look["alertname"] for look in looks if bool(look.get("exp_alerts")) is fires} == alerts


def expressions() -> list[str]:
    panels: list[dict[str, Any]] = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def test_the_dashboard_asks_for_what_there_is() -> None:
    named = {name for expression in expressions() for name in _NAME.findall(expression)}
    assert len(named) > 20
    assert named <= SAMPLES


def test_the_dashboard_can_be_imported() -> None:
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    assert dashboard["schemaVersion"] >= 36
    assert dashboard["templating"]["list"][0]["type"] == "datasource"
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_promtool_can_read_the_dashboards_expressions(tmp_path: Path, promtool: str) -> None:
    rules = [
        {"record": f"dashboard:{number}", "expr": expression.replace("$__rate_interval", "1m")}
        for number, expression in enumerate(expressions())
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    run(promtool, "check", "rules", str(file))


def test_the_rules_ask_for_what_there_is() -> None:
    text = "".join(line for line in ALERTS.read_text("utf-8").splitlines() if "#" not in line)
    named = set(_NAME.findall(text))
    assert len(named) > 10
    assert named <= SAMPLES


def test_the_page_has_the_table() -> None:
    """Else: ``python -c 'from wsgw.ops.catalogue import table; print(table())'``."""
    assert table() in PAGE.read_text("utf-8")


def test_the_page_has_the_causes() -> None:
    text = PAGE.read_text("utf-8")
    assert [cause for cause in CAUSES if f"`{cause}`" not in text] == []


# -- causes -------------------------------------------------------------------------------------------


def causes_in_the_code() -> list[str]:
    """``condition: text`` of every SessionError, and what ``browser_lost`` and its like are given."""
    found = []
    for path in sorted((ROOT / "wsgw").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            words = [_literal(argument) for argument in node.args]
            if name == "SessionError" and words[0]:
                found.append(f"{words[0]}: {words[1]}")
            elif name in ("browser_lost", "_cut_browser", "drop", "_server_closes") and words[0]:
                found.append(words[0])
    return found


def _literal(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_literal(value) for value in node.values)
    if isinstance(node, ast.FormattedValue):
        return "1003"
    return str(node.value) if isinstance(node, ast.Constant) else ""


def test_every_cause_has_a_label() -> None:
    causes = causes_in_the_code()
    assert len(causes) > 25
    unknown = [cause for cause in causes if classified(cause)[0] == OTHER]
    assert unknown == []


@pytest.mark.parametrize(
    ("cause", "label", "limit"),
    [
        ("Close 4999", "browser_left", ""),
        ("server: anything at all", "server_error", ""),
        ("1002 reserved bits are set", "bad_websocket", ""),
        ("remote-connection-failed: whatever", "upstream_failed", ""),
        ("policy-violation: stanza above 262144 bytes", "policy_violation", "max_stanza_size"),
        ("", OTHER, ""),
        ("something nobody has thought of", OTHER, ""),
    ],
)
def test_a_cause_and_its_label(cause: str, label: str, limit: str) -> None:
    assert classified(cause) == (label, limit)
    assert label in CAUSES


def test_limits_are_options() -> None:
    limits = {classified(cause)[1] for cause in causes_in_the_code()} - {""}
    assert len(limits) > 5
    assert limits <= LIMITS_HIT <= set(BY_NAME)
