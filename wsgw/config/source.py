"""The source of a configuration: the arguments of the command line, as a value that a reload reads again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from wsgw.config import find_config, from_arguments, load
from wsgw.config.model import Config
from wsgw.config.terms import Mark
from wsgw.errors import ConfigError, ConfigProblem


@dataclass(frozen=True, slots=True)
class Source:
    """A configuration file, or ``--listen``, ``--domain`` and ``--upstream`` in place of one."""

    #: ``--config``; None to search with ``find_config`` at every reading.
    file: str | None = None
    listen: str | None = None
    domains: Sequence[str] = ()
    upstreams: Sequence[str] = ()
    #: Options of the command line that replace those of the file: ``log_level``, ``log_format``, ``user``.
    overrides: Mapping[str, str] = field(default_factory=dict)

    def read(self) -> Config:
        """Read the source and return its present configuration. Raises ConfigError with every error."""
        config = self._without_overrides()
        marks = {name: Mark(f"--{name.replace('_', '-')}", 0) for name in self.overrides}
        origins = replace(config.origins, options={**config.origins.options, **marks})
        overrides: Mapping[str, Any] = self.overrides
        return replace(config, origins=origins, **overrides)

    def _without_overrides(self) -> Config:
        given = (self.listen, self.domains, self.upstreams)
        if not any(given):
            return load(find_config(self.file, os.environ))
        if self.file:
            raise _misuse("--config cannot be combined with --listen, --domain and --upstream")
        if not (self.listen and self.domains and self.upstreams):
            raise _misuse("--listen, --domain and --upstream must be given together")
        return from_arguments(self.listen, self.domains, self.upstreams)


def _misuse(reason: str) -> ConfigError:
    return ConfigError([ConfigProblem("command line", 0, reason)])
