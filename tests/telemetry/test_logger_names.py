"""Admins filter the log by the names of its loggers: a module that moves keeps the name it logs by."""

from __future__ import annotations

import ast

from tests.support.processes import ROOT

LOGGERS = {
    "wsgw.demo.stream",
    "wsgw.gateway",
    "wsgw.listener",
    "wsgw.mod_websocket",
    "wsgw.ops.admin",
    "wsgw.ops.administration",
    "wsgw.ops.publisher",
    "wsgw.processes.crew",
    "wsgw.processes.inherited",
    "wsgw.processes.parent",
    "wsgw.processes.worker",
    "wsgw.relay",
    "wsgw.session_log",
    "wsgw.tracing",
    "wsgw.upstream",
    "wsgw.websocket_xmpp",
    "wsgw.xmpp_framing",
}


def test_the_names_of_the_loggers_stay() -> None:
    found = set()
    for path in (ROOT / "wsgw").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "log":
                assert isinstance(node.value, ast.Call)
                (name,) = node.value.args
                found.add(module if isinstance(name, ast.Name) else ast.literal_eval(name))
    assert found == LOGGERS
