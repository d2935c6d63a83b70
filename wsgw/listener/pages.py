"""Chooses the pages of a listener by its configuration."""

from __future__ import annotations

from wsgw.config.model import CONSOLE, HANDLER, HOST_META, Config, ListenerConfig
from wsgw.listener.acme_challenge import AcmeChallenges
from wsgw.listener.console import Console
from wsgw.opening.host_meta import HostMeta, links_of
from wsgw.opening.pages import Pages


def pages_of(listener: ListenerConfig, config: Config) -> tuple[Pages, ...]:
    """The pages that ``listener`` serves next to its WebSocket."""
    pages: list[Pages] = []
    if paths := _paths(listener, HOST_META):
        links = {one.host: links_of(one.websocket, one.bosh) for one in config.host_meta}
        pages.append(HostMeta(paths, links))
    if paths := _paths(listener, CONSOLE):
        websocket = next(iter(listener.url_paths(HANDLER)), None)
        pages.append(Console(paths, websocket, config.hosts, config.demo_accounts))
    if listener.acme_challenge_dir is not None:
        pages.append(AcmeChallenges(listener.acme_challenge_dir))
    return tuple(pages)


def _paths(listener: ListenerConfig, module: str) -> list[tuple[str, ...]]:
    return [handler.path for handler in listener.request_handlers if handler.module == module]
