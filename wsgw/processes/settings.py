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

    @classmethod
    def read(cls, source: Source) -> Settings:
        """Read and check the configuration and its files. Raises ConfigError with every error."""
        config = source.read()
        files = PemFiles.of(config)
        check_tls(config, files)
        found = map(str, findings(config, files, time.time()))
        return cls(replace(config, warnings=(*config.warnings, *found)), files)
