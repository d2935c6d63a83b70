"""The tables of the state machines agree with the code and with the diagrams made from them."""

from __future__ import annotations

import pytest

from tests.support.machines import MACHINES, Machine, diagram, edges, held_to_table, with_diagrams
from tests.support.processes import ROOT
from tests.websocket_session.session import EVENTS as SESSION_EVENTS
from tests.websocket_session.session import TIMERS, session_in
from tests.websocket_xmpp.dialogue import in_state
from tests.websocket_xmpp.test_table import EVENTS as XMPP_EVENTS
from tests.websocket_xmpp.test_table import IMPOSSIBLE
from wsgw.errors import HandshakeRefused
from wsgw.relay.states import State
from wsgw.websocket_session import WebSocketSession

LATE = 10_000.0
ARCHITECTURE = ROOT / "docs" / "architecture.md"
ALL = pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)


@ALL
def test_a_table_has_every_state_and_event(machine: Machine) -> None:
    assert machine.transitions.keys() == machine.states.keys()
    reached = {after for _, after in edges(machine)} | {next(iter(machine.states))}
    assert reached == set(machine.states)


@pytest.mark.parametrize("name", ["websocket_session", "websocket_xmpp"])
def test_each_state_is_a_method(name: str) -> None:
    machine = MACHINES[name]
    assert all(callable(getattr(machine.kind, state)) for state in machine.states)


def test_the_relays_table_has_its_states() -> None:
    assert list(MACHINES["relay"].states) == [state.name.lower() for state in State]


def test_every_transition_of_an_xmpp_session_is_tested() -> None:
    machine = MACHINES["websocket_xmpp"]
    with held_to_table(machine) as seen:
        for state in machine.states:
            for event, happens in XMPP_EVENTS.items():
                if (state, event) not in IMPOSSIBLE:
                    happens(in_state(state))
            dialogue = in_state(state)
            dialogue.xmpp.tick(LATE, reading=True)
            dialogue.xmpp.tick(2 * LATE, reading=True)
    assert seen == edges(machine)


def test_every_transition_of_a_websocket_is_tested() -> None:
    machine = MACHINES["websocket_session"]
    with held_to_table(machine) as seen:
        for state in machine.states:
            for happens in SESSION_EVENTS.values() if not state.startswith("ws_handshake") else ():
                happens(session_in(state)[0])
            session, _ = session_in(state)
            for turn in range(1, 5):
                session.tick(turn * LATE, reading=True)
            session_in(state)[0].lost()
        refused = WebSocketSession(TIMERS, 1000)
        refused.http_request("POST", "/ws-xmpp", (1, 1))
        with pytest.raises(HandshakeRefused):
            refused.http_eoh(lambda _segments: True, ())
    assert seen == edges(machine)


@ALL
def test_a_diagram_has_each_event(machine: Machine) -> None:
    lines = diagram(machine).splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert not [line for line in lines if line.count(":") > 1 or ";" in line], "either ends a label"
    for state, row in machine.transitions.items():
        for event, after in row.items():
            arrow = next(line for line in lines if line.startswith(f"    {state} --> {after}:"))
            assert event in arrow


def test_the_page_has_the_current_diagrams() -> None:
    """``python -m tests.support.machines docs/architecture.md`` writes them."""
    text = ARCHITECTURE.read_text("utf-8")
    assert with_diagrams(text) == text
    assert all(f"<!-- states of {name} -->" in text for name in MACHINES)
