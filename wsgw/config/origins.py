"""The place of each setting in its file, for later messages about the setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wsgw.config.document import Document, Setting
from wsgw.config.listeners import RawListener
from wsgw.config.model import AdminListener, ListenerConfig, Origin, Origins
from wsgw.config.option import Scope
from wsgw.config.options import GATEWAY_WIDE, OPTIONS
from wsgw.config.precedence import Choices
from wsgw.config.server_facts import ServerFacts
from wsgw.config.terms import Mark

#: Top-level options that have more than one name in a file.
_ALSO = {"hosts": ("hosts", "host"), "certfiles": ("certfiles", "domain_certfile")}


@dataclass
class OriginsOfDocument:
    """Collects the places while the settings are made."""

    document: Document
    facts: ServerFacts
    _listeners: dict[ListenerConfig | AdminListener, Origin] = field(default_factory=dict)
    _wide: dict[str, Mark] = field(default_factory=dict)

    def add_listener(self, listener: ListenerConfig, raw: RawListener, choices: Choices) -> None:
        """Note the places of a ``websocket_session`` listener and of its options."""
        marks = self._taken_from_the_server(choices) | choices.marks
        if raw.ip is not None:
            marks["ip"] = raw.ip.mark
        for name in GATEWAY_WIDE:
            if name in marks:
                self._wide.setdefault(name, marks[name])
        self._listeners[listener] = Origin(raw.mark, marks)

    def add_admin_listener(self, listener: AdminListener, raw: RawListener) -> None:
        """Note the place of an admin listener."""
        self._listeners[listener] = Origin(raw.mark)

    def _taken_from_the_server(self, choices: Choices) -> dict[str, Mark]:
        """The places of the values that the listener takes from the XMPP server's part of the file."""
        marks: dict[str, Mark] = {}
        facts = self.facts
        if facts.mark is not None:
            marks = dict.fromkeys(facts.set_options, facts.mark)
            if "upstream" in choices:
                marks.pop("upstream_proxy_protocol", None)
        if choices["tls"] and facts.certfiles:
            marks["certfile"] = facts.marks[facts.certfiles[0]]
        return marks

    def _settings(self, name: str) -> list[Setting]:
        """The settings that can set ``name``: those of single hosts only for certificates."""
        every = self.document.settings
        return [one for one in every if one.host is None or name == "certfiles"]

    def done(self) -> Origins:
        """The collected places."""
        marks = dict(self._wide)
        for option in OPTIONS:
            if option.scope is Scope.TOP:
                names = _ALSO.get(option.name, (option.name,))
                settings = [setting for setting in self._settings(option.name) if setting.name in names]
                if settings:
                    marks[option.name] = settings[0].mark
        files: Mapping[Path, Mark] = self.facts.marks
        return Origins(self._listeners, marks, self.facts.mark, files)
