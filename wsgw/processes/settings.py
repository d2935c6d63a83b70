"""The settings of a running gateway: the configuration and its PEM files, which the parent has read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from wsgw.config.model import Config
from wsgw.config.pem import PemFiles
from wsgw.config.remark import Remark
from wsgw.config.source import Source
from wsgw.errors import ConfigProblem
from wsgw.net.findings import findings
from wsgw.net.listen_sockets import unavailable
from wsgw.net.tls import check_tls
from wsgw.upstream.check import check_upstreams


class Settings(NamedTuple):
    """A checked configuration, with all its warnings, and the content of its PEM files.

    The parent sends it to the workers, which read no files.
    """

    config: Config
    files: PemFiles
    #: The warnings about the configuration alone, without those about the content of files.
    warnings: tuple[str, ...] = ()

    @classmethod
    def read(cls, source: Source) -> Settings:
        """Read and check the configuration and its files. Raises ConfigError with every error."""
        config = source.read()
        return cls(config, PemFiles(), config.warnings).with_files(PemFiles.of(config))

    def with_files(self, files: PemFiles) -> Settings:
        """The same configuration with new content of its PEM files. Raises ConfigError with every error."""
        check_tls(self.config, files)
        found = map(str, findings(self.config, files, time.time()))
        return Settings(replace(self.config, warnings=(*self.warnings, *found)), files, self.warnings)

    def obstacles(self) -> Iterator[ConfigProblem | Remark]:
        """The addresses that another program uses, then the XMPP servers that cannot be used: as of now."""
        yield from unavailable(self.config)
        yield from check_upstreams(self.config, self.files)
