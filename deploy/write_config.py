"""Writes the first /etc/wsgw/wsgw.yml, from an ejabberd's configuration or from a domain and an upstream.

``deploy.sh`` runs it with the Python of the release, as root. The output is for the admin. If the
configuration cannot be used, it prints every error and exits with 2.

The values of an ``ejabberd.cfg`` of the old module are copied, because its listener has to leave that file.
A modern ``ejabberd.yml`` is included, so that changes of its hosts and certificates take effect; if the
gateway's account may not read it, its values are copied too. Certificates that this account may not read are
copied, without keys.
"""

from __future__ import annotations

import argparse
import math
import os
import pwd
import re
import shlex
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from wsgw.config import load
from wsgw.config.document import Document, read_document
from wsgw.config.listeners import RawListener, raw_listeners
from wsgw.config.model import Config, ListenerConfig, RequestHandler, Traced
from wsgw.config.options import OPTIONS, Scope
from wsgw.config.terms import Problems
from wsgw.errors import ConfigError

#: The listener of the old module's README, on loopback: it has no TLS and is for a proxy on this machine.
LISTENER: dict[str, Any] = {
    "port": 5288,
    "ip": "127.0.0.1",
    "module": "websocket_session",
    "request_handlers": {"/ws-xmpp": "mod_websocket"},
}
ADMIN_LISTENER: dict[str, Any] = {"port": 5289, "ip": "127.0.0.1", "module": "wsgw_admin"}
#: Options with one value for the whole gateway, at any place in the file.
OF_THE_WHOLE = ("drain_timeout", "upgrade_timeout", "workers", "log_level", "log_format", "trace")
FROM_EJABBERD = ["hosts", "listen", "certfiles", "trusted_proxies"]
CERTIFICATES = "upstream-certificates.pem"
HEAD = """\
# wsgw's configuration, written by deploy.sh {origin}.
# No later deployment changes it: edit it as you like. `python -m wsgw options` prints every option.
# After a change: `/opt/wsgw/current/bin/python -m wsgw check`, then `systemctl reload wsgw`.
"""
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)
#: The account ``nobody``, in place of an account that does not exist yet: both have no rights.
_NOBODY = 65534


def main() -> int:
    chosen = _parser().parse_args()
    try:
        settings, origin = _settings(chosen)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    folder: Path = chosen.folder
    text = HEAD.format(origin=origin) + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    (folder / "wsgw.yml").write_text(text, "utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Writes wsgw.yml")
    parser.add_argument("folder", type=Path, help="the folder to write it to")
    parser.add_argument("--ejabberd", type=Path, help="the configuration of an ejabberd")
    parser.add_argument("--root", type=Path, default=Path("/"), help="the folder that becomes / later")
    parser.add_argument("--etc", type=Path, default=Path("/etc/wsgw"), help="its final folder, below root")
    parser.add_argument("--user", default="wsgw", help="the account of the gateway")
    parser.add_argument("--domain", action="append", default=[])
    parser.add_argument("--upstream", action="append", default=[])
    return parser


def _settings(chosen: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The content of the file, and its source."""
    if chosen.ejabberd is None:
        listener = {**LISTENER, "upstream": chosen.upstream or ["tcp://127.0.0.1:5222"]}
        return {"hosts": chosen.domain, "listen": [listener, ADMIN_LISTENER]}, "for a new installation"
    reader = Reader(chosen.user)
    source: Path = chosen.ejabberd
    shown = Path("/") / source.relative_to(chosen.root)
    document = _read(source)
    if any(raw.is_ours for raw in raw_listeners(document)):
        config = load(source)
        settings = carried_over(document, config)
        _say_of_old_module(shown, document, config)
    else:
        config = _with_listener(source)
        if reader.may_read(source):
            relative = os.path.relpath(shown, chosen.etc)
            include = {relative: {"allow_only": FROM_EJABBERD}}
            settings = {"include_config_file": include, "listen": [dict(LISTENER)]}
            _say(f"hosts, upstream, certificates, trusted proxies: wsgw.yml includes {shown}")
        else:
            settings = carried_over(document, config, [dict(LISTENER)])
            _say(f"hosts, upstream and trusted proxies: copied from {shown}")
            _say(f"to do: when they change there, change wsgw.yml too: {chosen.user} may not read {shown}")
    _add_certificates(settings, config, reader, chosen)
    settings["listen"].append(ADMIN_LISTENER)
    for served in config.listeners:
        _say(f"upstream of port {served.port}: {', '.join(map(str, served.upstream)) or 'none'}")
        for certfile in served.certfiles:
            if not reader.may_read(certfile):
                _say(f"to do: let {chosen.user} read {certfile}: {reader.permission(certfile)}")
    _say(f"hosts served: {', '.join(config.hosts)}")
    return settings, f"from {shown}"


def _say(sentence: str) -> None:
    print(f"   {sentence}")


def _say_of_old_module(shown: Path, document: Document, config: Config) -> None:
    tuples = dict.fromkeys(raw.module for raw in raw_listeners(document) if raw.is_ours)
    for listener in config.listeners:
        paths = ", ".join("/" + "/".join(handler.path) for handler in listener.request_handlers)
        _say(f"copied from {shown}: the websocket_session listener on port {listener.port}, {paths}")
    _say(
        f"to do: remove the tuples {', '.join(tuples)} and mod_websocket from {shown} and restart ejabberd: "
        "two programs cannot share one port"
    )


# Reading


def _read(source: Path) -> Document:
    problems = Problems()
    document = read_document(source, problems)
    problems.raise_if_any()
    return document


def _with_listener(source: Path) -> Config:
    """The configuration of ``source`` together with ``LISTENER``."""
    include = {str(source.resolve()): {"allow_only": FROM_EJABBERD}}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "wsgw.yml"
        path.write_text(yaml.safe_dump({"include_config_file": include, "listen": [LISTENER]}))
        return load(path)


class Reader:
    """The account of the gateway with all its rights: groups and ACLs too."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            try:
                entry = pwd.getpwnam(name)
                groups = os.getgrouplist(name, entry.pw_gid)
                self._as = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": groups}
            except KeyError:
                self._as = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}

    def may_read(self, path: Path) -> bool:
        return self._may("-r", path)

    def permission(self, path: Path) -> str:
        """The commands that let the account read the file, including every folder above it."""
        closed = [folder for folder in reversed(path.parents) if not self._may("-x", folder)]
        grants = [*(("x", folder) for folder in closed), ("r", path)]
        return " && ".join(
            f"setfacl -m u:{self._name}:{right} {shlex.quote(str(one))}" for right, one in grants
        )

    def _may(self, right: str, path: Path) -> bool:
        return subprocess.run(["test", right, str(path)], check=False, **self._as).returncode == 0


# Copying


def carried_over(
    document: Document, config: Config, listeners: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The settings of ``config`` as YAML: those of the file, and those from the server's listener.

    ``listeners`` are its listeners as YAML if they are not in ``document``.
    """
    own = [raw for raw in raw_listeners(document) if raw.is_ours]
    entries = listeners or [_listener(document, *pair) for pair in zip(own, config.listeners, strict=True)]
    settings: dict[str, Any] = {"hosts": list(config.hosts)}
    if config.trust_all_proxies:
        settings["trusted_proxies"] = "all"
    elif config.trusted_proxies:
        settings["trusted_proxies"] = [str(network) for network in config.trusted_proxies]
    for name in OF_THE_WHOLE:
        if _given(name, document, own):
            settings[name] = _value(getattr(config, name))
    for entry, listener in zip(entries, config.listeners, strict=True):
        if listener.upstream:
            entry["upstream"] = [str(address) for address in listener.upstream]
        entry["max_stanza_size"] = _value(listener.max_stanza_size)
        if listener.upstream_proxy_protocol != "off":
            entry["upstream_proxy_protocol"] = listener.upstream_proxy_protocol
    return {**settings, "listen": entries}


def _given(name: str, document: Document, raws: list[RawListener]) -> bool:
    return bool(document.all(name)) or any(raw.option(name) is not None for raw in raws)


def _listener(document: Document, raw: RawListener, listener: ListenerConfig) -> dict[str, Any]:
    entry: dict[str, Any] = {"port": listener.port, "ip": listener.ip, "module": LISTENER["module"]}
    for option in OPTIONS:
        if option.name in entry or option.scope is Scope.TOP or not hasattr(listener, option.name):
            continue
        if not _given(option.name, document, [raw]):
            continue
        value = getattr(listener, option.name)
        if value is None:
            continue
        if option.name == "max_connect_rate_per_ip" and value != math.inf:
            value = {"rate": value, "burst": listener.max_connect_burst_per_ip}
        entry[option.name] = _value(value)
    if listener.certfile is not None:
        entry["certfile"] = str(listener.certfile)
    return entry


def _value(value: Any) -> Any:
    """A value of the model in ejabberd's YAML form."""
    if isinstance(value, bool) or value is None:
        return "none" if value is None else value
    if value in (math.inf, sys.maxsize):
        return "infinity"
    if isinstance(value, tuple) and value and isinstance(value[0], RequestHandler):
        return {"/" + "/".join(handler.path): handler.module for handler in value}
    if isinstance(value, Traced):
        return [*sorted(value.jids), *map(str, value.networks)]
    if isinstance(value, tuple):
        return [str(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int | float | str | dict) else str(value)


# Certificates


def _add_certificates(
    settings: dict[str, Any], config: Config, reader: Reader, chosen: argparse.Namespace
) -> None:
    """Add the certificates for browsers, and those that the gateway trusts at the upstream.

    Of the latter, those that it may not read are copied.
    """
    shown = dict.fromkeys(
        path for listener in config.listeners if listener.certfile is None for path in listener.certfiles
    )
    files = dict.fromkeys(
        path
        for listener in config.listeners
        if any(address.scheme in ("starttls", "tls") for address in listener.upstream)
        for path in listener.upstream_certfiles
    )
    copied = [path for path in files if path not in shown and not reader.may_read(path)]
    included = "include_config_file" in settings
    named = [] if included else [str(path) for path in {**shown, **files} if path not in copied]
    if copied:
        content = b"".join(certificate for path in copied for certificate in _PEM.findall(path.read_bytes()))
        (chosen.folder / CERTIFICATES).write_bytes(content)
        named.append(CERTIFICATES)
        names = ", ".join(map(str, copied))
        _say(f"certificates of the XMPP server that {chosen.user} may not read, copied without keys: {names}")
    if named:
        settings["certfiles"] = named


if __name__ == "__main__":
    sys.exit(main())
