"""What a gateway is run with: the configuration, and the files it names, as the parent has read them."""

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
    """Whole and checked, with what was found beside errors among the warnings; sent to workers as it is."""

    config: Config
    files: PemFiles

    @classmethod
    def read(cls, source: Source) -> Settings:
        """Read and check everything. Raises ConfigError with every problem."""
        config = source.read()
        files = PemFiles.of(config)
        check_tls(config, files)
        found = map(str, findings(config, files, time.time()))
        return cls(replace(config, warnings=(*config.warnings, *found)), files)
