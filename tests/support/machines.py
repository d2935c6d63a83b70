"""The state machines and their tables: transitions are held to the table, and diagrams are drawn from it.

``python -m tests.support.machines`` prints a Mermaid diagram of each machine; with the name of a Markdown
file it writes them there, each between ``<!-- states of NAME -->`` and ``<!-- end of the states -->``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from wsgw.relay import states as relay_states
from wsgw.relay.life import Relay
from wsgw.websocket_session import WebSocketSession
from wsgw.websocket_session import states as session_states
from wsgw.websocket_xmpp import WebSocketXmpp
from wsgw.websocket_xmpp import states as xmpp_states


class Machine(NamedTuple):
    """A state machine: its class, its tables, and the names of its states in them."""

    kind: type[Any]
    states: Mapping[str, str]
    transitions: Mapping[str, Mapping[str, str]]
    name_of: Callable[[Any], str]


MACHINES = {
    "websocket_session": Machine(
        WebSocketSession, session_states.STATES, session_states.TRANSITIONS, lambda state: state.__name__
    ),
    "websocket_xmpp": Machine(
        WebSocketXmpp, xmpp_states.STATES, xmpp_states.TRANSITIONS, lambda state: state.__name__
    ),
    "relay": Machine(
        Relay, relay_states.STATES, relay_states.TRANSITIONS, lambda state: str(state.name).lower()
    ),
}


def edges(machine: Machine) -> set[tuple[str, str]]:
    """The (state, next state) that the table has."""
    return {(state, after) for state, row in machine.transitions.items() for after in row.values()}


@contextmanager
def held_to_table(machine: Machine) -> Iterator[set[tuple[str, str]]]:
    """In the block, a transition that is not in the table is a failure; yields the observed transitions."""
    seen: set[tuple[str, str]] = set()
    allowed, enter = edges(machine), machine.kind._enter

    def checked(self: Any, state: Any) -> None:
        transition = (machine.name_of(self._state), machine.name_of(state))
        assert transition in allowed, transition
        seen.add(transition)
        enter(self, state)

    with mock.patch.object(machine.kind, "_enter", checked):
        yield seen


@contextmanager
def held_to_tables() -> Iterator[None]:
    """The same for all machines."""
    with ExitStack() as stack:
        for machine in MACHINES.values():
            stack.enter_context(held_to_table(machine))
        yield


def diagram(machine: Machine) -> str:
    """A Mermaid state diagram; an arrow has all events of its transition."""
    first = next(iter(machine.states))
    lines = ["stateDiagram-v2", f"    [*] --> {first}"]
    lines += [f"    {state}: {state}<br>{meaning}" for state, meaning in machine.states.items()]
    for state, row in machine.transitions.items():
        for after in dict.fromkeys(row.values()):
            events = "<br>".join(event for event, following in row.items() if following == after)
            lines.append(f"    {state} --> {after}: {events}")
        if not row:
            lines.append(f"    {state} --> [*]")
    return "\n".join(lines)


def with_diagrams(text: str) -> str:
    """The Markdown text with the current diagrams."""
    for name, machine in MACHINES.items():
        block = f"<!-- states of {name} -->\n```mermaid\n{diagram(machine)}\n```\n<!-- end of the states -->"
        pattern = rf"<!-- states of {name} -->.*?<!-- end of the states -->"
        text = re.sub(pattern, lambda _match, block=block: block, text, flags=re.DOTALL)  # type: ignore[misc]
    return text


def main() -> None:
    """Write the diagrams into a file, or print them."""
    if len(sys.argv) > 1:
        page = Path(sys.argv[1])
        page.write_text(with_diagrams(page.read_text("utf-8")), encoding="utf-8")
        return
    for name in MACHINES:
        print(with_diagrams(f"<!-- states of {name} --><!-- end of the states -->"))


if __name__ == "__main__":
    main()
