"""Chooses the pages of a listener by its configuration."""

from __future__ import annotations

from wsgw.config.model import HOST_META, Config, ListenerConfig
from wsgw.listener.acme_challenge import AcmeChallenges
from wsgw.opening.host_meta import HostMeta, links_of
from wsgw.opening.pages import Pages


def pages_of(listener: ListenerConfig, config: Config) -> tuple[Pages, ...]:
    """The pages that ``listener`` serves next to its WebSocket."""
    paths = [handler.path for handler in listener.request_handlers if handler.module == HOST_META]
    links = {one.host: links_of(one.websocket, one.bosh) for one in config.host_meta}
    found: list[Pages] = [HostMeta(paths, links)] if paths else []
    if listener.acme_challenge_dir is not None:
        found.append(AcmeChallenges(listener.acme_challenge_dir))
    return tuple(found)
