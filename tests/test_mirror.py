"""The tests mirror the tree: a module has tests of the same name, or a line in the table names its tests."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
MODULES = [
    path.relative_to(ROOT / "wsgw")
    for path in sorted((ROOT / "wsgw").rglob("*.py"))
    if path.name != "__init__.py"
]
#: Modules that serve one subject, which gives the name of their tests, and modules that are tested in their
#: user.
TESTED_BY = {
    "__main__.py": "test_cli.py",
    "_native/functions.py": "_native/test_core.py",
    "config/advice.py": "config/test_ejabberd_names.py",
    "config/gateway_options.py": "config/test_options.py",
    "config/listening_options.py": "config/test_options.py",
    "config/model.py": "config/test_interpret.py",
    "config/option.py": "config/test_options.py",
    "config/placeholder_syntax.py": "config/test_placeholders.py",
    "config/remark.py": "net/test_findings.py",
    "config/session_options.py": "config/test_options.py",
    "config/upstream_options.py": "config/test_options.py",
    "demo/__main__.py": "demo/test_sleekxmpp.py",
    "demo/accounts.py": "demo/test_registration.py",
    "demo/acknowledgements.py": "demo/test_stream_management.py",
    "demo/bindings.py": "demo/test_login.py",
    "demo/connection.py": "demo/test_stream.py",
    "demo/elements.py": "demo/test_stream_management.py",
    "demo/host.py": "demo/test_stream.py",
    "demo/requests.py": "demo/test_stream.py",
    "demo/roster.py": "demo/test_presence.py",
    "demo/roster_requests.py": "demo/test_presence.py",
    "demo/sasl.py": "demo/test_login.py",
    "demo/server.py": "demo/test_stream.py",
    "demo/session.py": "demo/test_stream.py",
    "demo/stanzas.py": "demo/test_routing.py",
    "demo/subscriptions.py": "demo/test_presence.py",
    "doctor/certificates.py": "doctor/test_inside.py",
    "doctor/configuration.py": "doctor/test_command.py",
    "doctor/finding.py": "doctor/test_report.py",
    "doctor/inquiry.py": "doctor/test_command.py",
    "doctor/domains.py": "doctor/test_names.py",
    "doctor/https.py": "doctor/test_host_meta.py",
    "doctor/proxies.py": "doctor/test_websocket.py",
    "doctor/reach.py": "doctor/test_names.py",
    "doctor/stream.py": "doctor/test_websocket.py",
    "doctor/upgrade.py": "doctor/test_websocket.py",
    "doctor/limits.py": "doctor/test_inside.py",
    "doctor/ports.py": "doctor/test_inside.py",
    "doctor/upstreams.py": "doctor/test_inside.py",
    "errors/refusals.py": "ops/test_documents.py",
    "listener/connection.py": "listener/test_proxy_header.py",
    "listener/context.py": "test_gateway.py",
    "listener/first_bytes.py": "listener/test_bad_heads.py",
    "listener/pages.py": "listener/test_host_meta.py",
    "net/certificate.py": "net/test_findings.py",
    "net/memory_file.py": "net/test_key_pairs.py",
    "net/srv.py": "upstream/test_srv.py",
    "opening/head_grammar.py": "opening/test_head_reader.py",
    "ops/admin_pages.py": "ops/test_administration.py",
    "ops/catalogue.py": "ops/test_documents.py",
    "ops/exposition.py": "ops/test_publisher.py",
    "ops/http_server.py": "ops/test_administration.py",
    "ops/instruments.py": "ops/test_publisher.py",
    "ops/log_formats.py": "ops/test_logs.py",
    "ops/overview.py": "ops/test_administration.py",
    "ops/page_frame.py": "ops/test_status_page.py",
    "ops/session_markup.py": "ops/test_session_pages.py",
    "ops/status_document.py": "ops/test_administration.py",
    "processes/inherited.py": "processes/test_handover.py",
    "processes/parent.py": "processes/test_reload.py",
    "processes/settings.py": "processes/test_crew.py",
    "processes/succession.py": "processes/test_handover.py",
    "processes/worker.py": "processes/test_workers.py",
    "relay/states.py": "test_state_machines.py",
    "socket_async/wrapper.py": "socket_async/test_delivery.py",
    "stanzas/markup.py": "stanzas/server",
    "stanzas/stanza_tag.py": "stanzas/repair",
    "websocket_session/sides.py": "websocket_session/test_machine.py",
    "websocket_session/states.py": "test_state_machines.py",
    "websocket_xmpp/machine.py": "websocket_xmpp",
    "websocket_xmpp/sides.py": "websocket_xmpp",
    "websocket_xmpp/states.py": "test_state_machines.py",
    "xmpp/header.py": "xmpp/framing",
    "telemetry/session_view.py": "ops/test_session_pages.py",
}


def own_tests(module: Path) -> list[Path]:
    """The places of tests with a module's name: a file, a folder, or the one file of its whole room."""
    folder = TESTS / module.parent
    return [folder / f"test_{module.name}", folder / module.stem, folder.with_name(f"test_{folder.name}.py")]


def test_a_module_has_tests_of_its_name_or_a_line_in_the_table() -> None:
    without = {str(module) for module in MODULES if not any(path.exists() for path in own_tests(module))}
    assert without == TESTED_BY.keys()


def test_the_table_names_tests_that_exist() -> None:
    assert [tests for tests in TESTED_BY.values() if not (TESTS / tests).exists()] == []
