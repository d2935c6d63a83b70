"""Requests of a client before the login, such as one without SASL (XEP-0078), count only when answered."""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xmpp.login.answers import IQ, SASL, nothing_is_known, result, told
from wsgw.stanzas.element import MAX_SIZE
from wsgw.xmpp.login import MAX_ID, MAX_REQUESTS, Login


def auth(content: str, attributes: str = "type='set' id='a1'") -> bytes:
    return (
        f"<iq xmlns='jabber:client' {attributes}><query xmlns='jabber:iq:auth'>{content}</query></iq>"
    ).encode()


NAMED = "<username>alice</username><password>secret</password><resource>r</resource>"
REGISTER = "<query xmlns='jabber:iq:register'/>"
ACCEPTED = "<iq type='result' id='a1'/>"


def asks(login: Login, *elements: bytes | str) -> Login:
    for element in elements:
        login.client_iq(
            b"<messages>", element if isinstance(element, bytes) else element.encode(), "example.org"
        )
    return login


@pytest.mark.rule("xep-0078")
@pytest.mark.parametrize(
    ("content", "jid"),
    [
        (NAMED, "alice@example.org/r"),
        (NAMED.replace("password>", "digest>"), "alice@example.org/r"),
        (f"<x><![CDATA[<username>root</username>]]></x>{NAMED}", "alice@example.org/r"),
        (f"<x xmlns='x'><username>root</username></x>{NAMED}", "alice@example.org/r"),
        (f"<username xmlns='x'>root</username>{NAMED}", "alice@example.org/r"),
        (f"<username>root</username>{NAMED}", ""),
        ("<username>alice</username><password>secret</password>", ""),
    ],
    ids=["named", "digest", "cdata", "deeper", "foreign", "twice", "no-resource"],
)
def test_a_non_sasl_login_names_the_user(content: str, jid: str) -> None:
    login = asks(Login(), auth(content))
    assert nothing_is_known(login), "a claim counts once the server accepts it"
    told(IQ, "<iq type='result' id='other'/>", login)
    assert nothing_is_known(login)
    told(IQ, ACCEPTED, login)
    assert (login.succeeded, login.jid, login.over) == (True, jid, True)


@pytest.mark.rule("login-read")
@pytest.mark.parametrize(
    "answer",
    [
        "<iq type='result' id='&#97;1'/>",
        "<iq\n id = \"a1\"\ttype = 'result' ></iq >",
        "<iq x='>' type='result' id='a1'> </iq>",
        "<c:iq xmlns:c='jabber:client' type='result' id='a1'/>",
        "<iq x=' id=&apos;other&apos; ' type='result' id='a1'/>",
    ],
    ids=["reference", "spaces", "value", "prefix", "lookalike"],
)
def test_an_answer_in_any_spelling_is_read(answer: str) -> None:
    assert told(IQ, answer, asks(Login(), auth(NAMED))).succeeded


@pytest.mark.rule("xep-0078")
@pytest.mark.parametrize(
    "request_",
    [
        auth(NAMED, "type='get' id='a1'"),
        auth(NAMED, "id='a1'"),
        auth(NAMED, "type='result' id='a1'"),
        auth(NAMED, "xmlns:x='x' x:type='set' type='get' id='a1'"),
        auth("<username>alice</username><resource>r</resource>"),
        auth("<password>secret</password><resource>r</resource>"),
        auth("<x><username>a</username><password>b</password></x>"),
        auth("<!" + "[CDATA[" + NAMED + "]]>"),
        auth(NAMED).replace(b"jabber:client", b"jabber:server"),
        auth(NAMED).replace(b"<query", b"<request").replace(b"</query", b"</request"),
        f"<iq xmlns='jabber:client' type='set' id='a1'>{REGISTER}"
        f"<query xmlns='jabber:iq:auth'>{NAMED}</query></iq>",
        f"<iq xmlns='jabber:client' type='set' id='a1'><query xmlns='jabber:iq:auth'>{NAMED}</query>"
        f"{REGISTER}</iq>",
        f"<iq xmlns='jabber:client' type='set' id='a1'><x><query xmlns='jabber:iq:auth'>{NAMED}</query></x>"
        "</iq>",
        "<iq xmlns='jabber:client' type='set' id='a1'><query xmlns='jabber:iq:register'"
        " x=\" xmlns='jabber:iq:auth'\"><username>admin</username><password>x</password></query></iq>",
        "<iq xmlns='jabber:client' type='get' id='a1'><query xmlns='jabber:iq:register'>"
        "<username xmlns='jabber:iq:auth'/><password/></query></iq>",
        "<iq xmlns='jabber:client' type='get' id='a1'><ping xmlns='urn:xmpp:ping'/></iq>",
    ],
)
@pytest.mark.parametrize("answer", [ACCEPTED, f"<iq type='result' id='a1'>{REGISTER}</iq>"])
def test_any_other_request_is_no_attempt(request_: bytes | str, answer: str) -> None:
    assert nothing_is_known(told(IQ, answer, asks(Login(), request_)))


@pytest.mark.rule("xep-0078")
@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        ("<iq type='error' id='result'/>", 1),
        ("<iq type='error' id='result'><error type='auth'><x>type='result'</x></error></iq>", 1),
        ("<iq type='error' id='result' x=' type=&quot;result&quot; '/>", 1),
        ("<iq type='error' id='result' x:type='result' xmlns:x='x'/>", 1),
        ("<iq id='result'/>", 0),
        ("<iq type='results' id='result'/>", 0),
        ("<iq type='set' id='result'/>", 0),
        ("<iq type='result' id='resul'/>", 0),
        ("<iq type='result' x:id='result' xmlns:x='x'/>", 0),
        ("<iq type='result'/>", 0),
    ],
)
def test_any_other_answer_is_no_success(answer: str, refused: int) -> None:
    login = told(IQ, answer, asks(Login(), auth(NAMED, "type='set' id='result'")))
    assert nothing_is_known(login)
    assert login.refused == refused


@pytest.mark.rule("xep-0078")
def test_a_list_of_fields_is_no_success() -> None:
    """Prosody answers so to an attempt that lacks a field, with type ``result``."""
    login = asks(Login(), auth("<username>admin</username><password>x</password>"))
    told(IQ, result("<query xmlns='jabber:iq:auth'><username/></query>", "type='result' id='a1'"), login)
    assert nothing_is_known(login)


@pytest.mark.rule("xep-0078")
def test_a_refused_attempt_does_not_count_later() -> None:
    login = asks(Login(), auth(NAMED))
    told(IQ, "<iq type='error' id='a1'/>", login)
    told(IQ, ACCEPTED, login)
    assert nothing_is_known(login)
    assert login.refused == 1
    asks(login, auth("<username>bob</username><password>b</password><resource>s</resource>"))
    told(IQ, ACCEPTED, login)
    assert (login.succeeded, login.jid) == (True, "bob@example.org/s"), "it may reuse the id"


PING = "<iq xmlns='jabber:client' type='get' id='a1'><ping xmlns='urn:xmpp:ping'/></iq>"


@pytest.mark.rule("xep-0078")
@pytest.mark.parametrize(
    "others",
    [
        (PING,),
        (PING.replace("'a1'", "'&#97;1'"),),
        (PING.replace("jabber:client", "jabber:server"),),
        (PING.replace("get", "result"),),
        (PING.replace(" type='get'", ""),),
        (auth(NAMED),),
        (PING, PING),
    ],
    ids=["ping", "reference", "foreign", "result", "no-type", "attempt", "two"],
)
@pytest.mark.parametrize("first", [True, False])
def test_an_answer_to_an_id_of_two_requests_is_no_proof(others: tuple[bytes | str, ...], first: bool) -> None:
    """The server's result may be for the other one."""
    login = Login()
    asks(login, *((auth(NAMED), *others) if first else (*others, auth(NAMED))))
    for _ in range(3):
        told(IQ, ACCEPTED, login)
        told(IQ, "<iq type='error' id='a1'/>", login)
        asks(login, auth(NAMED))
    assert nothing_is_known(login)
    asks(login, auth(NAMED, "type='set' id='a2'"))
    assert told(IQ, "<iq type='result' id='a2'/>", login).succeeded, "another id still counts"


@pytest.mark.rule("xep-0078")
@pytest.mark.parametrize(
    ("reference", "written"),
    [("&#9;", "\t"), ("&#10;", "\n"), ("&#13;", "\r"), ("&#13;&#10;", "\r\n"), ("&#xA;&#xd;", "\n\r")],
)
def test_an_id_that_the_answer_spells_as_another_is_no_proof(reference: str, written: str) -> None:
    """Prosody does not escape white space, which is then read as blanks: this answers the registration."""
    register = f"<iq xmlns='jabber:client' type='set' id='a{reference}1'>{REGISTER}</iq>"
    blanks = ElementTree.fromstring(f"<iq id='a{written}1'/>").get("id")
    attempt = auth(NAMED, f"type='set' id='{blanks}'")
    for requests in ((register, attempt), (attempt, register)):
        login = asks(Login(), *requests)
        assert nothing_is_known(told(IQ, f"<iq type='result' id='a{written}1'/>", login))
    login = asks(Login(), auth(NAMED, f"type='set' id='a{reference}1'"))
    assert told(IQ, f"<iq type='result' id='a{written}1'/>", login).succeeded, "no other request"


def test_an_id_may_be_used_again_after_its_answer() -> None:
    login = asks(Login(), PING)
    told(IQ, ACCEPTED, login)
    asks(login, auth(NAMED))
    assert told(IQ, ACCEPTED, login).succeeded


@pytest.mark.parametrize("number", ["", " id=''"])
def test_an_attempt_without_an_id_does_not_count(number: str) -> None:
    login = asks(Login(), auth(NAMED, f"type='set'{number}"))
    assert nothing_is_known(told(IQ, f"<iq type='result'{number}/>", login))


def test_one_of_several_attempts_succeeds() -> None:
    login = asks(Login(), auth(NAMED), auth(NAMED.replace("alice", "bob"), "type='set' id='a2'"))
    told(IQ, "<iq type='error' id='a1'/>", login)
    told(IQ, "<iq type='result' id='a2'/>", login)
    assert (login.succeeded, login.jid, login.refused) == (True, "bob@example.org/r", 1)


def test_the_number_of_remembered_requests_is_bounded() -> None:
    login = Login()
    asks(login, *(auth(NAMED, f"type='set' id='n{number}'") for number in range(MAX_REQUESTS)))
    assert told(IQ, "<iq type='result' id='n0'/>", login).succeeded
    login = Login()
    asks(login, *(auth(NAMED, f"type='set' id='n{number}'") for number in range(MAX_REQUESTS + 1)))
    assert nothing_is_known(told(IQ, "<iq type='result' id='n0'/>", login))
    login = asks(Login(), auth(NAMED, f"type='set' id='{'a' * (MAX_ID + 1)}'"), auth(NAMED))
    assert nothing_is_known(told(IQ, ACCEPTED, login))
    told(SASL, "<success/>", login)
    assert login.succeeded


HUGE = "x" * MAX_SIZE


def test_a_stanza_too_large_to_be_read_is_no_login() -> None:
    login = asks(Login(), auth(f"{NAMED}<x>{HUGE}</x>"))
    assert nothing_is_known(told(IQ, ACCEPTED, login))
    login = asks(Login(), auth(NAMED), PING.replace("a1", "a2").replace("<ping ", f"<ping a='{HUGE}' "))
    assert nothing_is_known(told(IQ, ACCEPTED, login)), "the large request may have had the same id"
    assert nothing_is_known(told(IQ, f"<iq type='result' id='a1'>{HUGE}</iq>", asks(Login(), auth(NAMED))))


def test_requests_after_the_login_are_not_read() -> None:
    login = Login()
    told(SASL, "<success/>", login)
    asks(login, auth(NAMED))
    told(IQ, ACCEPTED, login)
    assert (login.jid, login.over) == ("", False)


# -- answers before the login, for its deadline -------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "restarts"),
    [
        (ACCEPTED, True),
        (f"<iq type='result' id='a1'>{REGISTER}</iq>", True),
        ("<iq type='error' id='a1'/>", False),
        ("<iq type='set' id='a1'/>", False),
        ("<iq type='result' id='unasked'/>", False),
    ],
)
def test_a_result_restarts_the_deadline_once(answer: str, restarts: bool) -> None:
    login = told(IQ, answer, asks(Login(), PING))
    assert [login.restarts_deadline(), login.restarts_deadline()] == [restarts, False]


# -- any order of requests and answers -----------------------------------------------------------------

_ids = st.sampled_from(["a1", "&#97;1", "b", ""])
_requests = st.builds(
    lambda number, kind, content, namespace: (
        f"<iq xmlns='{namespace}' type='{kind}' id='{number}'>{content}</iq>"
    ),
    _ids,
    st.sampled_from(["set", "set", "set", "get", "result"]),
    st.sampled_from([
        f"<query xmlns='jabber:iq:auth'>{NAMED}</query>",
        f"<q:query xmlns:q='jabber:iq:auth' xmlns='jabber:iq:auth'>{NAMED}</q:query>",
        f"<query xmlns='jabber:iq:auth'>{NAMED}</query>{REGISTER}",
        f"<query xmlns='jabber:iq:register'>{NAMED}</query>",
        "<query xmlns='jabber:iq:auth'><username>alice</username></query>",
        REGISTER,
    ]),
    st.sampled_from(["jabber:client", "jabber:client", "jabber:server"]),
)  # fmt: skip
_answers = st.builds(
    lambda number, kind, content: f"<iq type='{kind}' id='{number}'>{content}</iq>",
    _ids,
    st.sampled_from(["result", "result", "error"]),
    st.sampled_from(["", "", "text", "<query xmlns='jabber:iq:auth'/>"]),
)


class Model:
    """A second implementation of a login: by ElementTree, without a bound on the remembered requests."""

    def __init__(self) -> None:
        #: (id, whether it is an attempt), in order; how often each id was answered; ids that are no proof.
        self.asked: list[tuple[str, bool]] = []
        self.answered: Counter[str] = Counter()
        self.unclear: set[str] = set()
        self.succeeded = False

    def request(self, text: str) -> None:
        iq = ElementTree.fromstring(text)
        number = iq.get("id", "")
        if sum(known == number for known, _ in self.asked) > self.answered[number]:
            self.unclear.add(number)
        auth = "{jabber:iq:auth}"
        attempt = iq.tag == "{jabber:client}iq" and iq.get("type") == "set"
        attempt &= [child.tag for child in iq] == [f"{auth}query"]
        attempt &= iq.find(f"{auth}query/{auth}username") is not None
        attempt &= iq.find(f"{auth}query/{auth}password") is not None
        self.asked.append((number, attempt))

    def answer(self, text: str) -> None:
        iq = ElementTree.fromstring(text)
        number = iq.get("id", "")
        asked = [attempt for known, attempt in self.asked if known == number]
        if self.succeeded or not number or len(asked) <= self.answered[number]:
            return
        self.answered[number] += 1
        if asked[-1] and number not in self.unclear and iq.get("type") == "result" and not len(iq):
            self.succeeded = True


@given(st.lists(st.tuples(st.just(True), _requests) | st.tuples(st.just(False), _answers), max_size=12))
def test_any_order_of_requests_and_answers_gives_the_models_result(exchange: list[tuple[bool, str]]) -> None:
    login, model = Login(), Model()
    for from_client, text in exchange:
        if from_client:
            asks(login, text)
            model.request(text)
        else:
            told(IQ, text, login)
            model.answer(text)
        assert login.succeeded == model.succeeded
        assert login.jid == ("alice@example.org/r" if model.succeeded else "")
