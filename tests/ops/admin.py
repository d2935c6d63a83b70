"""A gateway with a ``wsgw_admin`` listener, and an admin who sends it requests."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from tests.support.gateway import Gateway

#: For a step that works, on a busy machine, in seconds.
PATIENCE = 30.0
EMPTY: Mapping[str, str] = MappingProxyType({})


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str


class Metrics(dict[tuple[str, frozenset[tuple[str, str]]], float]):
    """All samples of a scrape, by name and labels."""

    @classmethod
    def parse(cls, text: str) -> Metrics:
        return cls(
            {
                (sample.name, frozenset(sample.labels.items())): sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
            }
        )

    def value(self, name: str, /, **labels: str) -> float:
        return self[name, frozenset(labels.items())]

    def sum(self, name: str, /, **labels: str) -> float:
        """The sum of all samples that have these labels at least."""
        wanted = frozenset(labels.items())
        return sum(value for (found, having), value in self.items() if found == name and wanted <= having)

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self}


class Admin:
    """Sends requests to the listener at ``port``."""

    def __init__(self, port: int, gateway: Gateway) -> None:
        self.port = port
        self.gateway = gateway

    def ask(
        self, path: str, method: str = "GET", host: str | None = None, headers: Mapping[str, str] = EMPTY
    ) -> Answer:
        """One request on its own connection. Raises OSError."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, headers={**headers, **({} if host is None else {"Host": host})})
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read().decode())
        finally:
            connection.close()

    def metrics(self) -> Metrics:
        answer = self.ask("/metrics")
        assert answer.status == 200, answer
        return Metrics.parse(answer.text)

    def status(self) -> dict[str, Any]:
        answer = self.ask("/status.json")
        assert answer.status == 200, answer
        found: dict[str, Any] = json.loads(answer.text)
        return found
