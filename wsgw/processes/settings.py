"""The settings of a running gateway: the configuration and its PEM files, which the parent has read."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import NamedTuple

from wsgw.config.model import Config
from wsgw.config.pem import PemFiles
from wsgw.config.source import Source
from wsgw.net.tls import check_tls
from wsgw.ops.findings import findings


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
