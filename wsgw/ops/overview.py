"""The state of a whole gateway, from the state files of its parent and of all its workers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsgw.config.model import Config
from wsgw.ops.expiry import Expiries
from wsgw.ops.metrics_files import state_path
from wsgw.ops.state import read_document
from wsgw.telemetry.tally import Attempt

#: How often a worker's state file is read at most, as a reader may see it half written.
ATTEMPTS = 10


@dataclass(frozen=True)
class Overview:
    """The state of a gateway at one moment. Times are seconds since the epoch."""

    config: Config
    #: The parent's document (``state`` lists its keys).
    parent: Mapping[str, Any]
    #: The workers' documents by slot (``publisher`` lists their keys).
    workers: Mapping[int, Mapping[str, Any]]
    #: Of the whole gateway.
    connections: int
    #: Whether this worker drains.
    draining: bool
    #: When the certificates expire.
    expiries: Expiries

    def sum(self, *path: str) -> int:
        """The sum over all workers of the number under ``path``, the keys from the document's root."""
        return sum(_at(document, path) for document in self.workers.values())

    @property
    def sessions(self) -> Counter[tuple[str, str, str]]:
        """The number of sessions by (host, framing, state)."""
        groups: Counter[tuple[str, str, str]] = Counter()
        for document in self.workers.values():
            for host, framing, state, count in document["sessions"]:
                groups[host, framing, state] += count
        return groups

    @property
    def attempts(self) -> dict[str, Attempt | None]:
        """The last attempt of any worker to reach each configured upstream; None before the first."""
        found: dict[str, Attempt | None] = {}
        for listener in self.config.listeners:
            for address in map(str, listener.upstream):
                made = [
                    Attempt(**document["attempts"][address])
                    for document in self.workers.values()
                    if address in document["attempts"]
                ]
                found[address] = max(made, key=lambda attempt: attempt.at, default=None)
        return found

    @property
    def limits(self) -> dict[str, tuple[int, float]]:
        """(how often, when last) for each limit reached since the workers were started, by option."""
        found: dict[str, tuple[int, float]] = {}
        for document in self.workers.values():
            for limit, hit in document["limits"].items():
                count, at = found.get(limit, (0, 0.0))
                found[limit] = (count + int(hit["count"]), max(at, hit["at"]))
        return found

    @property
    def unreachable(self) -> list[int]:
        """The positions in the configuration of the listeners of which no upstream is known to answer."""
        return [
            number for number, answering in enumerate(self._answering) if answering and not any(answering)
        ]

    @property
    def doubtful(self) -> list[int]:
        """The positions of the listeners of which at least one upstream is not known to answer."""
        return [number for number, answering in enumerate(self._answering) if not all(answering)]

    @property
    def _answering(self) -> list[list[bool]]:
        """For each listener, whether the last attempt to reach each of its upstreams succeeded."""
        attempts = self.attempts
        return [
            [(attempt := attempts[str(one)]) is not None and attempt.ok for one in listener.upstream]
            for listener in self.config.listeners
        ]

    def why_not_ready(self) -> list[str]:
        """The reasons why the gateway takes no new sessions, as whole sentences; empty if it is ready."""
        return list(self._why_not_ready())

    def _why_not_ready(self) -> Iterator[str]:
        if self.draining or self.parent.get("draining"):
            yield "The gateway is ending its sessions."
        if self.parent.get("retiring"):
            yield "A newer gateway has taken over."
        attempts = self.attempts
        for number in self.unreachable:
            listener = self.config.listeners[number]
            made = [attempt for one in listener.upstream if (attempt := attempts[str(one)]) is not None]
            errors = "; ".join(attempt.error for attempt in made) or "not tried yet"
            yield f"No XMPP server answers the listener on port {listener.port}: {errors}."


def read_workers(folder: Path, parent: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """The documents of the workers in the parent's document ``parent``, by slot.

    ``folder`` holds the state files. A worker without a complete state file is omitted.
    """
    found: dict[int, Mapping[str, Any]] = {}
    for worker in parent.get("workers", ()):
        try:
            file = os.open(state_path(folder, worker["slot"]), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue  # the worker is starting, or the disk was full when it started
        try:
            # A file that is half written does not match its checksum; it is whole a moment later.
            document = next(filter(None, (read_document(file) for _ in range(ATTEMPTS))), None)
        finally:
            os.close(file)
        if document and document["pid"] == worker["pid"]:
            found[worker["slot"]] = document
    return found


def _at(document: Mapping[str, Any], path: tuple[str, ...]) -> int:
    value: Any = document
    for key in path:
        value = value[key]
    return int(value)
