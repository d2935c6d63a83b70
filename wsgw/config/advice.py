"""The lines to add, and the file to add them to, if a configuration has no listener of wsgw."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from wsgw.config.document import Document
from wsgw.config.ejabberd_names import LISTENERS
from wsgw.config.files import SEARCHED
from wsgw.config.listeners import raw_listeners
from wsgw.config.model import LISTENER_MODULE
from wsgw.config.own_files import Owner

#: wsgw's own file, and the options that it includes from ejabberd's file.
OWN_FILE: Final = SEARCHED[0]
FROM_EJABBERD: Final = ("hosts", "listen", "certfiles", "trusted_proxies")
LISTENER_IN_YAML: Final = f"""\
listen:
  -
    port: 5288
    module: {LISTENER_MODULE}
    request_handlers:
      /ws-xmpp: mod_websocket"""
LISTENER_IN_ERLANG: Final = (
    f'{{5288, {LISTENER_MODULE}, [{{request_handlers, [{{["ws-xmpp"], mod_websocket}}]}}]}}'
)
_SERVER: Final = "tcp://127.0.0.1:5222"
_PLAIN: Final = re.compile(r"[\w./][\w./ -]*[\w./]")


def missing_listener(document: Document, hint: str) -> str:
    """The message that ``document`` has no listener of wsgw, with the lines to add and their file.

    ``hint`` names a module that looks misspelled, or is empty. A modern ejabberd refuses to start with a
    listener of wsgw in its file, so the lines belong in a file of wsgw's own; an old ejabberd accepts them.
    """
    missing = f"no {LISTENER_MODULE} listener"
    path = Path(document.source).absolute()
    modules = {raw.module for raw in raw_listeners(document)}
    is_ejabberds = document.owner is Owner.EJABBERD and path.parent != OWN_FILE.parent
    # A file with ejabberd's listeners is probably ejabberd's, whatever its name.
    is_ejabberds = is_ejabberds or (
        document.owner is Owner.UNKNOWN and not hint and not modules.isdisjoint(LISTENERS)
    )
    in_yaml, in_erlang = _listener("ejabberd_c2s" in modules)
    lines = f"leave it as it is, and write {OWN_FILE} with these lines\n"
    lines += _indented(f"{_include(path)}\n{in_yaml}")
    if document.yaml and is_ejabberds:
        reason = "This file is ejabberd's own, and ejabberd does not start with one in it"
        return f"{missing}{hint}. {reason}: {lines}"
    if document.yaml:
        form = f"'- {{port: 5288, module: {LISTENER_MODULE}, ...}}'"
        return f"{missing}: add {form} to listen{hint}, as in\n{_indented(in_yaml)}"
    form = f"{{5288, {LISTENER_MODULE}, [...]}}"
    added = f"{missing}: add {form} to listen{hint}, as in\n{_indented(in_erlang)}"
    return f"{added}\nIf ejabberd runs with this file, {lines}" if is_ejabberds else added


def _listener(has_server: bool) -> tuple[str, str]:
    """The listener in YAML and in Erlang, with ``upstream`` unless the file has an XMPP server."""
    if has_server:
        return LISTENER_IN_YAML, LISTENER_IN_ERLANG
    in_erlang = LISTENER_IN_ERLANG.replace("]}]}", f']}}, {{upstream, "{_SERVER}"}}]}}')
    return f"{LISTENER_IN_YAML}\n    upstream: {_SERVER}", in_erlang


def _include(path: Path) -> str:
    name = str(path) if _PLAIN.fullmatch(str(path)) else "'" + str(path).replace("'", "''") + "'"
    return f"include_config_file:\n  {name}:\n    allow_only: [{', '.join(FROM_EJABBERD)}]"


def _indented(lines: str) -> str:
    return "\n".join(f"    {line}" for line in lines.splitlines())
