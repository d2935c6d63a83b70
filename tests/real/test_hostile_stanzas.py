"""No stanza of another user ends a web user's session, with servers that pass it on.

Mallory sends each kind of ``hostile_stanzas`` to Bob, who is behind the gateway, and to Carol, who is not.
Bob must get the stanzas of Carol without the parts that are not namespace-well-formed (``stanza_tree``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.real.cast import CLIENT, WIRES, Cast, Place, Stage, assert_all_come, assert_same
from tests.real.hostile_stanzas import KEPT, KINDS, Kind
from tests.real.stanza_tree import Node, is_namespace_well_formed, repaired, tree
from tests.real.xmpp_user import MAM, User
from tests.support.fixtures import Account
from tests.support.gateway import Gateway
from tests.support.servers import Server


@pytest.fixture(params=["ejabberd", "prosody"], scope="module")
def server(request: pytest.FixtureRequest, start_server: Callable[[str], Server]) -> Server:
    return start_server(request.param)


@pytest.fixture(params=list(WIRES), scope="module")
def place(
    request: pytest.FixtureRequest,
    server: Server,
    start_gateway: Callable[[Server], Gateway],
    new_account: Callable[[Server], Account],
) -> Place:
    return Place(server, start_gateway(server), request.param, new_account)


@pytest.fixture(scope="module")
def stage(place: Place) -> Iterator[Stage]:
    def create() -> Cast:
        cast = Cast(place)
        for user in (cast.mallory, cast.carol, cast.bob):
            user.say(f"<presence {CLIENT}/>")
            cast.enter(user)
        cast.collect(in_room=True)
        return cast

    stage = Stage(create)
    yield stage
    stage.close()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_hostile_stanzas_arrive_live(stage: Stage, place: Place, kind: Kind) -> None:
    """As message, presence, iq and in a room; then the next message, and a resumption without loss."""
    if place.server.name not in kind.servers:
        pytest.skip(f"{place.server.name} ends the sender's stream for it")
    with stage.cast() as cast:
        said = say_in_every_way(cast, kind)
        assert cast.compare(in_room=True) == said
        request_is_answered(cast)

        cast.bob.wire.cut()
        for user in (cast.carol, cast.bob):
            cast.mallory.say(kind.stanza("message", f"to='{user.jid}' type='chat'", "<body>lost</body>"))
            cast.mallory.say(kind.stanza("presence", f"to='{user.jid}'"))
        assert cast.bob.resume(place.web_wire()) == cast.bob.sent
        assert cast.compare(in_order=False) == 2


def say_in_every_way(cast: Cast, kind: Kind) -> int:
    """To each of the two, and to the room; returns the number of stanzas that each gets."""
    mallory = cast.mallory
    for user in (cast.carol, cast.bob):
        question = "type='get' id='question'><query xmlns='jabber:iq:version'/>"
        user.say(f"<iq {CLIENT} to='{mallory.jid}' {question}</iq>")
        mallory.hear_until("id='question'")
        to = f"to='{user.jid}'"
        mallory.say(kind.stanza("iq", f"{to} type='result' id='question'"))
        mallory.say(kind.stanza("message", f"{to} type='chat' id='chat'", "<body>to be read</body>"))
        mallory.say(kind.stanza("presence", f"{to} id='presence'", "<status>here</status>"))
        mallory.say(kind.stanza("iq", f"{to} type='get' id='get'"))
        if not kind.is_heavy:
            mallory.say(kind.stanza("iq", f"{to} type='set' id='set'"))
            mallory.say(kind.stanza("message", f"{to} type='headline'"))
    to = f"to='{cast.room}' type='groupchat'"
    mallory.say(kind.stanza("message", f"{to} id='group'", "<body>to all</body>"))
    if kind.is_heavy:
        return 5
    mallory.say(kind.stanza("message", f"{to} id='subject'", f"<subject>{kind.name}</subject>"))
    return 8


def request_is_answered(cast: Cast) -> None:
    condition = "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
    error = f"<error type='cancel'>{condition}</error>"
    cast.bob.say(f"<iq {CLIENT} to='{cast.mallory.jid}' type='error' id='get'>{error}</iq>")
    answer = cast.mallory.hear_until("id='get'")[-1]
    assert f"from='{cast.bob.jid}'" in answer, answer


def test_stored_hostile_stanzas_arrive(place: Place) -> None:
    """From the offline store, a room's history and the archive, at every login."""
    name = place.server.name
    kinds = [kind for kind in KINDS if name in kind.servers and name in kind.stored_by]
    cast = Cast(place)
    try:
        play_stored(place, cast, kinds)
    finally:
        cast.leave()


def play_stored(place: Place, cast: Cast, kinds: list[Kind]) -> None:
    for user in (cast.carol, cast.bob):
        user.keep_an_archive()
        user.wire.leave()
    say_to_be_kept(cast, kinds)

    cast.carol = place.tcp(cast.carol.account)
    cast.bob = place.web(cast.bob.account)
    offline = [heard_at_login(user) for user in (cast.carol, cast.bob)]
    assert len(offline[0]) == len(kinds) + 1
    assert_all_come(*offline)
    history = [
        [stanza for stanza in cast.enter(user) if stanza.startswith("<message")]
        for user in (cast.carol, cast.bob)
    ]
    assert len(history[0]) >= len(kinds) + 1
    assert_all_come(*history)
    cast.collect(in_room=True)
    assert_same_archives(cast, len(kinds) + 1)

    cast.bob.wire.cut()
    assert cast.bob.resume(place.web_wire()) == cast.bob.sent
    assert cast.compare() == 0
    cast.bob.wire.leave()
    cast.bob = place.web(cast.bob.account)
    cast.bob.say(f"<presence {CLIENT}/>")
    assert_same_archives(cast, len(kinds) + 1)


def say_to_be_kept(cast: Cast, kinds: list[Kind]) -> None:
    """One message of each kind to both, who are offline, and to the room; a plain one comes last."""
    mallory = cast.mallory
    cast.enter(mallory)
    last = Kind("last", KEPT)
    for kind in [*kinds, last]:
        body = f"<body>{kind.name}</body>"
        for user in (cast.carol, cast.bob):
            mallory.say(kind.stanza("message", f"to='{user.account.jid}' type='chat' id='{kind.name}'", body))
        mallory.say(kind.stanza("message", f"to='{cast.room}' type='groupchat' id='{kind.name}'", body))
        # One at a time: a room may not take many at once.
        mallory.hear_until(f">{kind.name}<")


def heard_at_login(user: User) -> list[str]:
    user.say(f"<presence {CLIENT}/>")
    return [stanza for stanza in user.hear_until(">last<") if stanza.startswith("<message")]


def assert_same_archives(cast: Cast, count: int) -> None:
    """Assert page by page that Bob's archive equals Carol's."""
    hers, his = (
        [stanza for stanza in asked_of_archive(user) if stanza.startswith("<message")]
        for user in (cast.carol, cast.bob)
    )
    assert len(hers) >= count
    assert len(hers) == len(his)
    for one, other in zip(hers, his, strict=True):
        assert is_namespace_well_formed(other), other[:2000]
        expected, got = archived(repaired(one)), archived(tree(other))
        assert (expected is None) == (got is None), other[:2000]
        if expected and got:
            assert_same(expected, got)


def asked_of_archive(user: User) -> list[str]:
    page = "<set xmlns='http://jabber.org/protocol/rsm'><max>100</max></set>"
    user.say(f"<iq {CLIENT} type='set' id='mam'><query xmlns='{MAM}' queryid='q'>{page}</query></iq>")
    return user.hear_until("<fin ")


def archived(message: Node) -> Node | None:
    """The stanza inside a result of the archive; the result and its wrapper always come."""
    result = message.find("result")
    assert result, message.name
    assert result.attributes["id"]
    forwarded = result.find("forwarded")
    assert forwarded
    assert forwarded.find("delay")
    return forwarded.find("message")
