"""The listeners' ports, and the gateway that uses them now."""

from __future__ import annotations

from collections.abc import Iterator

from wsgw.config.model import AdminListener, Config, ListenerConfig
from wsgw.doctor.finding import Finding, Verdict
from wsgw.doctor.inquiry import Check, Inquiry
from wsgw.net.listen_sockets import uses
from wsgw.net.port_holder import Holder, holder_of


def running_gateway(config: Config) -> Holder | None:
    """The parent of the gateway that listens on a port of ``config``; None if none can be seen."""
    for listener in config.all_listeners:
        holder = holder_of(listener.ip, listener.port)
        if holder is not None and holder.pid is not None and holder.listens and holder.is_wsgw:
            return holder
    return None


def _check(inquiry: Inquiry) -> Iterator[Finding]:
    config = inquiry.config
    if config is None:
        return
    served = False
    for use in uses(config):
        place = _shown(use.listener)
        for problem in use.problems:
            yield Finding("port.free", place, Verdict.FAILED, problem.reason)
        if use.problems:
            continue
        served |= use.holder is not None
        what = "free" if use.holder is None else f"open, by {use.holder}"
        yield Finding("port.free", place, Verdict.OK, what)
    if not served:
        what, fix = "no gateway runs with this configuration", "start it: systemctl start wsgw"
        yield Finding("port.gateway", "gateway", Verdict.NOTE, what, fix)


def _shown(listener: ListenerConfig | AdminListener) -> str:
    ip = f"[{listener.ip}]" if ":" in listener.ip else listener.ip
    return f"port {ip}:{listener.port}"


PORTS = Check("port", _check)
