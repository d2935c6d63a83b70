"""The page, the dashboard and the rules agree with the metrics; promtool finds no error in them."""

from __future__ import annotations

import ast
import json
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ops.admin import PATIENCE, Admin
from tests.ops.conftest import StartAdmin
from tests.ops.metrics_page import causes_table, metrics_table, with_tables
from tests.support.fixtures import missing
from tests.support.processes import ROOT, wait_until
from tests.support.traffic import Traffic
from wsgw.config.options import BY_NAME
from wsgw.errors import refusals
from wsgw.errors.causes import CAUSES, LABELS, LIMITS
from wsgw.errors.refusals import REFUSALS, Refusal
from wsgw.ops.catalogue import COUNTED, METRICS, Metric
from wsgw.telemetry.tally import LIMITS_HIT

PAGE = ROOT / "docs" / "metrics.md"
DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"
ALERTS = ROOT / "deploy" / "prometheus-alerts.yml"
#: The cases in which the alerts fire, and those in which they do not.
ALERTS_FIRED = ROOT / "tests" / "ops" / "alerts.yml"
_NAME = re.compile(r"\bwsgw_\w+")
_SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def samples_of(metric: Metric) -> set[str]:
    return {metric.name + suffix for suffix in _SUFFIXES[metric.kind]}


SAMPLES = {name for metric in METRICS for name in samples_of(metric)}


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
    """A gateway with a value for every metric."""
    admin = start(traffic.port)
    traffic.begin(admin.gateway.ws_port, 4)
    assert admin.ask("/readyz").status == 200

    def told_of() -> bool:
        metrics = admin.metrics()
        workers = [key for key in metrics if key[0] == "wsgw_worker_cpu_seconds_total"]
        return len(workers) == 2 and metrics.value("wsgw_sessions_logged_in") == 4

    wait_until(told_of, PATIENCE, "both workers and all sessions")
    return admin


def test_every_documented_metric_exists(start: StartAdmin) -> None:
    with Traffic() as traffic:
        names = full(start, traffic).metrics().names
    assert names == SAMPLES


def test_every_counter_exists_before_its_first_event(alone: Admin) -> None:
    """Without a first 0, ``rate()`` and ``increase()`` do not see the first burst."""
    names = alone.metrics().names
    assert {name for metric in COUNTED for name in samples_of(metric)} <= names


def test_every_reason_of_a_refusal_exists_from_the_start(alone: Admin) -> None:
    name = "wsgw_connections_refused_total"
    found = {labels for told, labels in alone.metrics() if told == name}
    expected = {
        frozenset({"reason": refusal.label, "status": str(status or "")}.items())
        for refusal in REFUSALS
        for status in refusal.statuses
    }
    assert found == expected


def test_an_upstream_has_its_metrics_from_the_start_and_after_a_reload(alone: Admin) -> None:
    name = "wsgw_upstream_connect_failures_total"
    assert alone.metrics().value(name, upstream="tcp://127.0.0.1:1") == 0
    config = alone.gateway.config
    text = config.read_text("utf-8")
    try:
        config.write_text(text.replace("{1, ejabberd_c2s", "{2, ejabberd_c2s"), encoding="utf-8")
        alone.gateway.child.signal(signal.SIGHUP)
        added = (name, frozenset({"upstream": "tcp://127.0.0.1:2"}.items()))
        wait_until(lambda: added in alone.metrics(), PATIENCE, "the new upstream")
        assert alone.metrics()[added] == 0
        count = ("wsgw_upstream_connect_seconds_count", added[1])
        assert alone.metrics()[count] == 0
    finally:
        config.write_text(text, encoding="utf-8")
        alone.gateway.child.signal(signal.SIGHUP)


def refusals_in_the_code() -> set[tuple[Refusal, int]]:
    """(cause, status) of every HandshakeRefused that has literal ones."""
    found = set()
    for path in sorted((ROOT / "wsgw").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "HandshakeRefused":
                causes = [one.value for one in node.keywords if one.arg == "cause"] + node.args[3:]
                name = ast.unparse(causes[0]).rpartition(".")[2] if causes else "HANDSHAKE"
                cause = getattr(refusals, name, None)
                if isinstance(node.args[0], ast.Constant) and cause is not None:
                    found.add((cause, int(str(node.args[0].value))))
    return found


def test_every_refusal_is_in_the_table() -> None:
    found = refusals_in_the_code()
    assert len(found) > 5
    assert {(refusal, status) for refusal, status in found if status not in refusal.statuses} == set()
    assert {refusal.label for refusal in REFUSALS if refusal.is_limit} <= set(BY_NAME)


def test_promtool_finds_no_error_in_the_metrics(start: StartAdmin, promtool: str) -> None:
    with Traffic() as traffic:
        run(promtool, "check", "metrics", text=full(start, traffic).ask("/metrics").text)


def test_promtool_finds_no_error_in_the_rules(promtool: str) -> None:
    run(promtool, "check", "rules", str(ALERTS))


def test_the_alerts_fire_in_their_cases_only(promtool: str) -> None:
    run(promtool, "test", "rules", str(ALERTS_FIRED))


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
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


def test_the_dashboard_uses_existing_metrics() -> None:
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


def test_the_rules_use_existing_metrics() -> None:
    text = "".join(line for line in ALERTS.read_text("utf-8").splitlines() if "#" not in line)
    named = set(_NAME.findall(text))
    assert len(named) > 10
    assert named <= SAMPLES


def test_the_page_has_the_tables() -> None:
    """Otherwise: ``make docs``."""
    text = PAGE.read_text("utf-8")
    assert metrics_table() in text
    assert causes_table() in text
    assert with_tables(text) == text


# -- causes -------------------------------------------------------------------------------------------


def test_every_label_is_that_of_a_cause_and_exists_from_the_start(alone: Admin) -> None:
    assert {cause.label for cause in CAUSES} == set(LABELS)
    name = "wsgw_sessions_closed_total"
    found = {labels for told, labels in alone.metrics() if told == name}
    assert found == {frozenset({("cause", label)}) for label in LABELS}


def test_the_limit_of_a_cause_is_an_option() -> None:
    assert len(LIMITS) > 5
    assert LIMITS <= LIMITS_HIT <= set(BY_NAME)
