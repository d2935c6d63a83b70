from __future__ import annotations

import pytest

from tests.config.snippets import document
from wsgw.config.hosts import served_hosts
from wsgw.config.terms import Problems
from wsgw.errors import ConfigError

ABC = '{hosts, ["a", "b", "c"]}. '
WITH = "[{mod_x, []}, {mod_websocket, []}]"
WITHOUT = "[{mod_x, []}]"


@pytest.mark.parametrize(
    ("text", "served"),
    [
        (ABC, "abc"),
        (ABC + f"{{modules, {WITHOUT}}}.", "abc"),
        (ABC + f"{{modules, {WITH}}}.", "abc"),
        (ABC + "{modules, [mod_websocket]}.", "abc"),
        (ABC + f'{{host_config, "b", [{{modules, {WITH}}}]}}.', "b"),
        (ABC + f'{{host_config, "B.", [{{modules, {WITH}}}]}}.', "b"),
        (ABC + f'{{modules, {WITH}}}. {{host_config, "b", [{{modules, {WITHOUT}}}]}}.', "ac"),
        (ABC + f'{{modules, {WITH}}}. {{host_config, "b", [{{{{add, modules}}, {WITHOUT}}}]}}.', "abc"),
        (ABC + f'{{modules, {WITHOUT}}}. {{host_config, "b", [{{{{add, modules}}, {WITH}}}]}}.', "b"),
        (ABC + f'{{append_host_config, "c", [{{modules, {WITH}}}]}}.', "c"),
        (ABC + f'{{host_config, "a b", [{{modules, {WITH}}}]}}. {{modules, {WITH}}}.', "abc"),
        (ABC + f"{{{{add, modules}}, {WITH}}}.", "abc"),
        ('{hosts, ["a"]}. {host, "b"}. {hosts, ["a", "c"]}.', "acb"),
    ],
)
def test_the_hosts_with_mod_websocket_are_served(text: str, served: str) -> None:
    problems = Problems()
    found = served_hosts(document(text), problems)
    problems.raise_if_any()
    assert found == tuple(served)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "t.cfg: no hosts: name the domains to serve in the option hosts"),
        ("{hosts, []}.", "t.cfg: no hosts: name the domains to serve in the option hosts"),
        ('{hosts, ["a",\n"b c"]}.', "t.cfg:2: hosts: \"b c\": 'b c' is not a label of a domain"),
        ("{hosts, 5}.", "t.cfg:1: hosts: expected a domain, found 5"),
        (
            ABC + f'\n{{host_config, "d", [{{modules, {WITH}}}]}}.',
            "t.cfg:2: none of the hosts has mod_websocket in its modules",
        ),
    ],
)
def test_bad_hosts_are_an_error(text: str, problem: str) -> None:
    problems = Problems()
    assert served_hosts(document(text), problems) == ()
    with pytest.raises(ConfigError) as caught:
        problems.raise_if_any()
    assert str(caught.value).endswith(f"/{problem}")
