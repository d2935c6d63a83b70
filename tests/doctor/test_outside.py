"""The domain as a browser sees it: the command, through real proxies, with one fault each."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.doctor.world import (
    CADDY,
    HAPROXY,
    NOWHERE,
    SILENT_IP,
    Site,
    World,
    nginx_pages,
    nginx_websocket,
)
from tests.support.fixtures import missing

pytestmark = [pytest.mark.real, pytest.mark.root, pytest.mark.slow]

#: The checks of the outside, by the first part of their names.
OUTSIDE = {"dns", "tls", "host-meta", "websocket", "client-address", "idle"}
HIDE = "proxy_hide_header Access-Control-Allow-Origin;"
#: A web server's own page, with a path that wsgw does not serve.
NAMED = """
    location /.well-known/ {
        add_header Access-Control-Allow-Origin "*";
        location = /.well-known/host-meta {
            default_type application/xrd+xml;
            return 200 '<XRD xmlns="http://docs.oasis-open.org/ns/xri/xrd-1.0">
                <Link rel="urn:xmpp:alt-connections:websocket" href="wss://named.wsgw.test/xmpp"/></XRD>';
        }
        location = /.well-known/host-meta.json {
            default_type application/json;
            return 200 '{"links": [{"rel": "urn:xmpp:alt-connections:websocket",
                "href": "wss://named.wsgw.test/xmpp"}]}';
        }
    }
"""
SITES = {
    "nginx": Site(),
    "haproxy": Site("haproxy"),
    "caddy": Site("caddy"),
    "stripped": Site("caddy", websocket=f"handle_path /ws-xmpp* {{\n{CADDY}\n}}\nhandle {{\n{CADDY}\n}}"),
    "nowhere": Site(address=NOWHERE),
    "silent": Site(address=SILENT_IP),
    "target": Site(more={"_xmpp-client._tcp.target.wsgw.test SRV": ["0 0 5222 gone.wsgw.test."]}),
    "alias": Site(
        more={
            "_xmpp-client._tcp.alias.wsgw.test SRV": ["0 0 5222 www.wsgw.test."],
            "www.wsgw.test CNAME": ["alias.wsgw.test."],
        }
    ),
    "nocors": Site(host_meta=nginx_pages(HIDE)),
    "twice": Site(host_meta=nginx_pages('add_header Access-Control-Allow-Origin "*" always;')),
    "type": Site(
        host_meta=nginx_pages("proxy_hide_header Content-Type; add_header Content-Type text/plain;")
    ),
    "missing": Site(host_meta="location /.well-known { return 404; }"),
    "path": Site(websocket=nginx_websocket().replace("@BACKEND@;", "@BACKEND@/xmpp;")),
    "named": Site(host_meta=NAMED),
    "noplace": Site(websocket="location /other { return 404; }"),
    "old": Site(websocket=nginx_websocket(upgrade="")),
    "noupgrade": Site(websocket=nginx_websocket(upgrade="proxy_http_version 1.1;")),
    "deleted": Site("haproxy", websocket=f"{HAPROXY}    http-request del-header Upgrade\n"),
    "subprotocol": Site(websocket=nginx_websocket("proxy_hide_header Sec-WebSocket-Protocol;")),
    "down": Site(websocket=nginx_websocket().replace("@BACKEND@", "127.0.0.1:1")),
    "untrusted": Site("haproxy", gateway="far"),
    "unnamed": Site("haproxy", websocket=HAPROXY.replace("    option forwardfor\n", "")),
    "cut": Site(websocket=nginx_websocket("proxy_read_timeout 1s;")),
    "tunnel": Site("haproxy", websocket=HAPROXY.replace("2m", "1s")),
    "pinged": Site("haproxy", websocket=HAPROXY.replace("2m", "3s"), gateway="pinging"),
    "origin": Site(gateway="strict"),
    "expired": Site(certificate="expired"),
    "othername": Site(certificate="other"),
    "incomplete": Site(certificate="incomplete"),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    for program in ("ip", "nginx", "haproxy", "caddy", "openssl"):
        if shutil.which(program) is None:
            missing(f"{program} is not installed")
    try:
        found = World(tmp_path_factory.mktemp("world"), SITES)
    except OSError as error:
        missing(f"no network namespaces here: {error}")
    except subprocess.CalledProcessError as error:
        missing(f"no network namespaces here: {error.stderr}")
    yield found
    found.close()


def of_outside(findings: list[dict[str, str]]) -> list[dict[str, str]]:
    return [finding for finding in findings if finding["check"].partition(".")[0] in OUTSIDE]


@pytest.mark.parametrize("site", ["nginx", "haproxy", "caddy"])
def test_a_healthy_domain_has_no_fault(world: World, site: str) -> None:
    found = of_outside(world.doctor(site, "--quick"))
    assert {finding["verdict"] for finding in found} == {"ok"}, found
    assert [finding["check"] for finding in found] == [
        "dns.address",
        "dns.srv",
        "dns.srv",
        "tls.certificate",
        "host-meta.xrd",
        "host-meta.json",
        "websocket.direct",
        "websocket.public",
        "websocket.stream",
        "client-address.source",
    ]


#: Site → (check, a part of the text, a part of the fix): each is the only fault of the site.
FAULTS = {
    "nowhere": ("dns.address", "NXDOMAIN", "add an A or AAAA record for nowhere.wsgw.test"),
    "silent": ("dns.address", f"{SILENT_IP} refuses the connection on port 443", "correct the record"),
    "target": ("dns.srv", "its target gone.wsgw.test does not exist", "record for gone.wsgw.test"),
    "nocors": ("host-meta.xrd", "no header Access-Control-Allow-Origin", "add_header"),
    "twice": (
        "host-meta.xrd",
        "Access-Control-Allow-Origin more than once",
        "a proxy in front of wsgw adds none",
    ),
    "type": ("host-meta.xrd", "type text/plain instead of application/xrd+xml", "nginx: types"),
    "missing": ("host-meta.xrd", "answers 404", "python -m wsgw host-meta missing.wsgw.test"),
    "path": ("websocket.public", "no WebSocket at the path /ws-xmpp", "without a path after the port"),
    "named": (
        "websocket.public",
        "at the path /xmpp; wsgw serves /ws-xmpp",
        "name the path /ws-xmpp in host-meta",
    ),
    "stripped": (
        "websocket.public",
        "no WebSocket at the path /ws-xmpp",
        "Caddy: reverse_proxy /ws-xmpp 127.0.0.1",
    ),
    "noplace": ("websocket.public", "no WebSocket at the path /ws-xmpp", "location /ws-xmpp { proxy_pass"),
    "old": ("websocket.public", "the proxy speaks HTTP/1.0", "nginx: in the location"),
    "noupgrade": ("websocket.public", "removes the header Upgrade", "proxy_set_header Upgrade $http_upgrade"),
    "deleted": ("websocket.public", "removes the header Upgrade", "haproxy: no http-request del-header"),
    "subprotocol": ("websocket.public", "without the subprotocol xmpp", "proxy_hide_header"),
    "down": (
        "websocket.public",
        "answers 502: it gets no answer from wsgw",
        "proxy_pass http://127.0.0.1:5288;",
    ),
    "origin": (
        "websocket.origin",
        "refuses web pages of the origin https://origin.wsgw.test",
        "websocket_origin",
    ),
    "untrusted": ("client-address.source", "because the proxy is not trusted", "trusted_proxies"),
    "expired": ("tls.certificate", "has expired on", "renew it"),
    "othername": ("tls.certificate", "is for www.example.org", "get one for othername.wsgw.test"),
    "incomplete": ("tls.certificate", "chain is incomplete", "http://ca.wsgw.test/intermediate.der"),
}


@pytest.mark.parametrize("site", FAULTS)
def test_a_fault_is_named_with_what_to_do_and_no_other(world: World, site: str) -> None:
    check, what, fix = FAULTS[site]
    found = of_outside(world.doctor(site, "--quick"))
    faults = [one for one in found if one["verdict"] not in ("ok", "skipped")]
    assert faults, found
    assert (faults[0]["check"], faults[0]["verdict"]) == (check, "failed")
    assert what in faults[0]["what"], faults
    assert fix in faults[0]["fix"], faults
    # Both forms of host-meta have the fault.
    assert [one["fix"] for one in faults[1:]] in (
        [],
        ["as for host-meta"],
        [faults[-1]["fix"]] * (site == "type"),
    )


def test_a_target_that_is_an_alias_is_noted(world: World) -> None:
    (note,) = (one for one in of_outside(world.doctor("alias", "--quick")) if one["verdict"] != "ok")
    assert (note["check"], note["verdict"]) == ("dns.srv", "note")
    assert note["fix"] == "name alias.wsgw.test there"


def test_a_proxy_that_sends_no_address_is_noted(world: World) -> None:
    (note,) = (one for one in of_outside(world.doctor("unnamed", "--quick")) if one["verdict"] != "ok")
    assert (note["check"], note["verdict"]) == ("client-address.source", "note")
    assert "haproxy: option forwardfor" in note["fix"]


def test_without_a_configuration_the_outside_is_checked(world: World) -> None:
    found = world.doctor("haproxy", "--quick", config=False)
    assert {one["verdict"] for one in of_outside(found)} == {"ok"}, found
    assert not any(one["check"] == "websocket.direct" for one in found)
    found = of_outside(world.doctor("old", "--quick", config=False))
    assert ["HTTP/1.0" in one["what"] for one in found if one["verdict"] == "failed"] == [True]


def test_the_url_and_the_origin_of_the_question(world: World) -> None:
    """With a URL, clients need no host-meta; with another origin, the page is another one."""
    url = "wss://nginx.wsgw.test/ws-xmpp"
    found = of_outside(world.doctor("missing", "--quick", "--url", url))
    assert [one["check"] for one in found if one["verdict"] == "note"] == ["host-meta.xrd"]
    assert [one["subject"] for one in found if one["check"] == "websocket.public"] == [url]
    assert {one["verdict"] for one in found} == {"ok", "note"}
    found = of_outside(world.doctor("origin", "--quick", "--origin", "https://other.example"))
    assert {one["verdict"] for one in found} == {"ok"}


@pytest.mark.parametrize(
    ("site", "fix"),
    [("cut", "nginx: proxy_read_timeout 2m"), ("tunnel", "haproxy: timeout tunnel 2m")],
)
def test_a_proxy_that_cuts_quiet_connections_is_named(world: World, site: str, fix: str) -> None:
    *others, cut = of_outside(world.doctor(site, "--idle", "30"))
    assert {one["verdict"] for one in others} == {"ok"}, others
    assert (cut["check"], cut["verdict"]) == ("idle.cut", "failed")
    # The proxies wait for 1 s; a busy machine takes longer.
    what = r"the proxy cuts a connection after (\d+ s) without traffic; wsgw pings after 30 s"
    found = re.fullmatch(what, cut["what"])
    assert found is not None, cut
    assert fix in cut["fix"]
    assert f"websocket_ping_interval below {found[1]}" in cut["fix"]


def test_pings_keep_a_connection_open(world: World) -> None:
    found = of_outside(world.doctor("pinged", "--idle", "3.5"))
    assert {one["verdict"] for one in found} == {"ok"}, found
    assert re.fullmatch(
        r"a quiet connection is open after 3\.5 s, with \d pings? answered", found[-1]["what"]
    )
