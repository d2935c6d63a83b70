"""What a gateway is run with: the configuration, and the files it names, as the parent has read them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from wsgw.config.model import Config
from wsgw.tls import PemFiles, check_tls


class Settings(NamedTuple):
    """Whole and checked; sent to workers as it is."""

    config: Config
    files: PemFiles

    @classmethod
    def read(cls, read_config: Callable[[], Config]) -> Settings:
        """Read and check everything. Raises ConfigError with every problem."""
        config = read_config()
        files = PemFiles.of(config)
        check_tls(config, files)
        return cls(config, files)
