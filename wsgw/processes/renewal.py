"""Uses renewed certificates without a signal: looks at the PEM files of the configuration.

The configuration itself is read at a reload only. New content counts when two looks in a row have found the
same: certbot changes its links one after the other, and a copy takes time.
"""

from __future__ import annotations

import logging
import pickle
import time
from pathlib import Path

from wsgw.config.pem import PemFiles
from wsgw.config.terms import Mark
from wsgw.errors import ConfigError, ConfigProblem
from wsgw.net.certificate import certificates_in, has_its_issuer
from wsgw.net.key_pairs import KeyPair, key_pairs
from wsgw.processes.crew import Crew
from wsgw.processes.settings import Settings
from wsgw.processes.worker import SETTINGS

log = logging.getLogger("wsgw.processes.parent")

#: Seconds between two looks: renewed certificates are in use after two of them, within a minute.
LOOK_EVERY = 20.0


class Renewal:
    """Looks at the PEM files of a parent, and gives changed ones to its workers."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        #: What the last look has found, and the last content that could not be used.
        self._seen: PemFiles | None = None
        self._refused: PemFiles | None = None
        #: When to look again (monotonic).
        self.due = time.monotonic() + LOOK_EVERY

    @property
    def is_current(self) -> bool:
        """Whether no renewed file has been refused since the files in use were read."""
        return self._refused is None

    def look(self, *, serving: bool) -> None:
        """Use files that have changed. A parent that is not ``serving`` reads nothing."""
        self.due = time.monotonic() + LOOK_EVERY
        if not serving:
            return
        present = self._crew.settings.files
        found = present.read_again()
        seen, self._seen = self._seen, found
        if not found.changed(present):
            self._refused = None
            return
        is_settled = seen is not None and not found.changed(seen)
        if is_settled and (self._refused is None or found.changed(self._refused)):
            self._try_to_use(found)

    def _try_to_use(self, found: PemFiles) -> None:
        """Give ``found`` to the workers, or log why not; the errors are logged once."""
        crew, previous = self._crew, self._crew.settings
        try:
            settings = previous.with_files(found)
            _check_that_none_is_lost(previous, settings)
            crew.send(crew.serving, SETTINGS, pickle.dumps((settings, [])))
        except ConfigError as error:
            for problem in error.problems:
                log.error("%s", problem)
        except Exception:
            log.exception("fault while reading renewed certificates")
        else:
            crew.settings, self._refused = settings, None
            for warning in settings.config.warnings:
                if warning not in previous.config.warnings:
                    log.warning("%s", warning)
            log.info("new certificates in use: %s", ", ".join(map(str, found.changed(previous.files))))
            return
        self._refused = found
        log.error("the changed certificates cannot be used: the previous ones stay")


def _check_that_none_is_lost(previous: Settings, renewed: Settings) -> None:
    """Raise ConfigError if a renewal is half-done: a certificate has lost its key, or its issuer's."""
    problems = []
    after = _shown(renewed)
    for path, (mark, pair) in _shown(previous).items():
        if path not in after:
            reason = f"{path} has no certificate with its key any more"
            problems.append(ConfigProblem(mark.file, mark.line, reason))
        elif _is_whole(pair) and not _is_whole(after[path][1]):
            reason = f"{path} has no certificate of the issuer any more: clients cannot verify its chain"
            problems.append(ConfigProblem(mark.file, mark.line, reason))
    for path in renewed.files.changed(previous.files):
        try:
            renewed.files.read(path)
        except OSError as error:
            mark = renewed.config.origins.files.get(path, renewed.config.nowhere)
            problems.append(ConfigProblem(mark.file, mark.line, f"{path} cannot be read: {error.strerror}"))
    if problems:
        raise ConfigError(sorted(problems))


def _is_whole(pair: KeyPair) -> bool:
    """Whether the issuer's certificate follows, so that clients can verify the chain."""
    chain = certificates_in(pair.pem)
    return bool(chain) and has_its_issuer(chain)


def _shown(settings: Settings) -> dict[Path, tuple[Mark, KeyPair]]:
    """The files whose certificates browsers get: the place in the configuration, and the certificate."""
    config = settings.config
    return {
        pair.path: (config.certificate_mark(listener, pair.path), pair)
        for listener in config.listeners
        for pair in key_pairs(listener.certfiles, settings.files)
    }
