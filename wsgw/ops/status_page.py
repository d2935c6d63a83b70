"""``/status.json`` and ``/status``: the state of the gateway, for programs and for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from html import escape
from typing import Any

from wsgw.config.model import HANDLER, AdminListener, ListenerConfig
from wsgw.ops.overview import Overview

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em;color:#222;"
    "background:#fff}h1{font-size:1.4em}h2{font-size:1.1em;margin-top:1.6em}table{border-collapse:collapse}"
    "td,th{text-align:left;padding:.2em 1.2em .2em 0;border-bottom:1px solid #ddd;vertical-align:top}"
    ".bad{color:#b00020;font-weight:bold}.good{color:#1b7a34;font-weight:bold}"
    "@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}td,th{border-color:#444}"
    ".bad{color:#ff8a80}.good{color:#81c784}}"
)
_Row = Sequence[object]


def status(overview: Overview, now: float) -> dict[str, Any]:
    """The document of ``/status.json``; ``now`` and all times in it are seconds since the epoch."""
    parent, config = overview.parent, overview.config
    hosts: Counter[str] = Counter(dict.fromkeys(config.hosts, 0))
    for (host, _framing, _state), count in overview.sessions.items():
        hosts[host] += count
    without_host = hosts.pop("", 0)
    started_at = parent.get("started_at", now)
    return {
        "version": parent.get("version", ""),
        "ready": not overview.why_not_ready(),
        "why_not_ready": overview.why_not_ready(),
        "started_at": started_at,
        "uptime": round(now - started_at, 1),
        "config": {
            "source": config.source,
            "warnings": list(config.warnings),
            "last_reload": parent.get("last_reload"),
        },
        "draining": bool(overview.draining or parent.get("draining")),
        "connections": overview.connections,
        "sessions": sum(overview.sessions.values()),
        "sessions_logged_in": overview.sum("logged_in"),
        "sessions_without_host": without_host,
        "hosts": dict(sorted(hosts.items())),
        "restarts": parent.get("restarts", 0),
        "workers": [_worker(overview, worker) for worker in parent.get("workers", ())],
        "listeners": [_listener(listener) for listener in config.all_listeners],
        "upstreams": [
            {
                "address": address,
                "ok": made.ok if made is not None else None,
                "at": made.at if made is not None else None,
                "error": made.error if made is not None else "",
            }
            for address, made in overview.attempts.items()
        ],
        "limits_hit": {
            limit: {"count": count, "at": at} for limit, (count, at) in sorted(overview.limits.items())
        },
        **_certificates(overview),
    }


def _certificates(overview: Overview) -> dict[str, Any]:
    files, names = overview.expiries
    return {
        "certificates": files,
        "certificate_names": [
            {"name": name, "certificates": [one._asdict() for one in shown]} for name, shown in names.items()
        ],
        "certificates_current": overview.parent.get("certificates_current", True),
    }


def _worker(overview: Overview, worker: dict[str, Any]) -> dict[str, Any]:
    published = overview.workers.get(worker["slot"], {})
    return {
        **worker,
        "sessions": sum(count for *_, count in published.get("sessions", ())),
        "memory": published.get("memory"),
        "published_at": published.get("at"),
    }


def _listener(listener: ListenerConfig | AdminListener) -> dict[str, Any]:
    found: dict[str, Any] = {"ip": listener.ip, "port": listener.port}
    if isinstance(listener, AdminListener):
        return {**found, "module": "wsgw_admin"}
    return {
        **found,
        "module": "websocket_session",
        "tls": listener.tls,
        "paths": listener.paths_of(HANDLER),
        "upstream": [str(address) for address in listener.upstream],
        "max_sessions": listener.max_sessions,
    }


# The page


def page(found: dict[str, Any], now: float) -> str:
    """The document ``found`` of ``status`` as an HTML page, without scripts and without other resources.

    ``now``: seconds since the epoch.
    """
    ready = "<span class=good>ready</span>" if found["ready"] else "<span class=bad>not ready</span>"
    parts = [
        "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>wsgw</title>",
        "<meta name=viewport content='width=device-width'>",
        f"<style>{_STYLE}</style><h1>wsgw {escape(found['version'])}: {ready}</h1>",
        *(f"<p class=bad>{escape(reason)}</p>" for reason in found["why_not_ready"]),
        _table("", (), _summary(found, now)),
        _table("Hosts", ("host", "sessions"), _hosts(found)),
        _table("XMPP servers", ("address", "state", "when", "error"), _upstreams(found, now)),
        _table(
            "Workers",
            ("slot", "process", "sessions", "MiB", "running for", "replaced", ""),
            _workers(found, now),
        ),
        _table("Listeners", ("address", "module", "paths", "TLS"), map(_listener_row, found["listeners"])),
        _table(
            "Limits hit",
            ("option", "times", "last"),
            ((limit, hit["count"], _ago(hit["at"], now)) for limit, hit in found["limits_hit"].items()),
        ),
        _table(
            "Certificates",
            ("file", "expires"),
            ((file, _date(expires)) for file, expires in found["certificates"].items()),
        ),
        _table("Warnings about the configuration", (), ((one,) for one in found["config"]["warnings"])),
    ]
    return "\n".join(filter(None, parts)) + "\n</html>\n"


def _summary(found: dict[str, Any], now: float) -> list[_Row]:
    reload = found["config"]["last_reload"]
    last_reload = "never" if reload is None else _ago(reload["at"], now)
    if reload is not None:
        errors = "; ".join(reload["errors"])
        last_reload += ", valid" if reload["ok"] else f", INVALID, nothing was changed: {errors}"
    return [
        ("running for", _duration(found["uptime"])),
        ("sessions", f"{found['sessions']}, logged in {found['sessions_logged_in']}"),
        ("connections", found["connections"]),
        ("configuration", found["config"]["source"] or "the command line"),
        ("last reload", last_reload),
        ("workers replaced", found["restarts"]),
    ]


def _hosts(found: dict[str, Any]) -> Iterable[_Row]:
    yield from found["hosts"].items()
    if found["sessions_without_host"]:
        yield "none yet", found["sessions_without_host"]


def _upstreams(found: dict[str, Any], now: float) -> Iterable[_Row]:
    words = {True: "answers", False: "FAILS", None: "not tried"}
    for one in found["upstreams"]:
        at = _ago(one["at"], now) if one["at"] is not None else ""
        yield one["address"], words[one["ok"]], at, one["error"]


def _workers(found: dict[str, Any], now: float) -> Iterable[_Row]:
    for one in found["workers"]:
        memory = "?" if one["memory"] is None else one["memory"] >> 20
        leaving = "leaving" if one["leaving"] else ""
        age = _duration(now - one["started_at"])
        yield one["slot"], one["pid"], one["sessions"], memory, age, one["restarts"], leaving


def _listener_row(one: dict[str, Any]) -> _Row:
    host = f"[{one['ip']}]" if ":" in one["ip"] else one["ip"]
    tls = "yes" if one.get("tls") else "no"
    return f"{host}:{one['port']}", one["module"], ", ".join(one.get("paths", ())), tls


def _table(title: str, heads: Sequence[str], rows: Iterable[_Row]) -> str:
    """An HTML table; empty without rows. Every cell is escaped."""
    body = ["<tr>" + "".join(f"<td>{escape(str(cell))}" for cell in row) for row in rows]
    if not body:
        return ""
    head = "<tr>" + "".join(f"<th>{escape(cell)}" for cell in heads) if heads else ""
    return (f"<h2>{escape(title)}</h2>" if title else "") + f"<table>{head}{''.join(body)}</table>"


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _ago(at: float, now: float) -> str:
    return f"{_duration(max(0.0, now - at))} ago"


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
