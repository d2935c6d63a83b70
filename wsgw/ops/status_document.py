"""The document of ``/status.json``: the state of the gateway, without the name or address of any user."""

from __future__ import annotations

from collections import Counter
from typing import Any

from wsgw.config.describe import changed
from wsgw.config.model import ADMIN_MODULE, HANDLER, LISTENER_MODULE, AdminListener, ListenerConfig
from wsgw.ops.overview import Overview


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
        "native": parent.get("native", {"in_use": False, "reason": ""}),
        "ready": not overview.why_not_ready(),
        "why_not_ready": overview.why_not_ready(),
        "started_at": started_at,
        "uptime": round(now - started_at, 1),
        "config": {
            "source": config.source,
            "warnings": list(config.warnings),
            "last_reload": parent.get("last_reload"),
            "changed": [one._asdict() for one in changed(config)],
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
        return {**found, "module": ADMIN_MODULE}
    return {
        **found,
        "module": LISTENER_MODULE,
        "tls": listener.tls,
        "paths": listener.paths_of(HANDLER),
        "upstream": [str(address) for address in listener.upstream],
        "max_sessions": listener.max_sessions,
    }
