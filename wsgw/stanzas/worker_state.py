"""The state that all sessions of one worker share; all other state belongs to an object of the gateway.

Each worker is forked before it serves, and has its own copy. Sessions share parsers to save memory and time,
and warnings to log each one once; no session ever sees the bytes of another one.

    cutters    parsers of servers' streams. A stream needs one only inside a stanza: a session holds no
               parser (10.6 kB) between stanzas
    checkers   parsers of clients' messages. A message is checked in one step, so all sessions with the same
               stream header and limits share one
    warned     the warnings that were logged: they concern a server, not a session

The caches of other modules (``lru_cache``) are no state: their results follow from the arguments alone.
"""

from __future__ import annotations

from wsgw.stanzas.client import ClientStanzas
from wsgw.stanzas.cutter import StanzaCutter


class Cutters:
    """The idle cutters: each is between two stanzas, and no stream is using it."""

    #: How many idle cutters are kept for the same bindings of a stream header, and for how many bindings.
    MAX_IDLE = 8
    MAX_KINDS = 64

    def __init__(self) -> None:
        self.idle: dict[bytes, list[StanzaCutter]] = {}

    def take(self, bindings: bytes) -> StanzaCutter:
        """Return a cutter that is between two stanzas of a stream with these ``bindings``.

        ``bindings`` is a start tag with the namespace declarations of the stream's header; empty before it.
        """
        idle = self.idle.get(bindings)
        return idle.pop() if idle else StanzaCutter(bindings)

    def give_back(self, cutter: StanzaCutter) -> None:
        """Keep a cutter that is between two stanzas for the next session, unless its parser is exhausted."""
        if not cutter.exhausted:
            idle = self.idle.get(cutter.bindings)
            if idle is None:
                idle = self._new_kind(cutter.bindings)
            if len(idle) < self.MAX_IDLE:
                idle.append(cutter)
                return
        cutter.release()

    def _new_kind(self, bindings: bytes) -> list[StanzaCutter]:
        if len(self.idle) >= self.MAX_KINDS:
            for unused in self.idle.pop(next(iter(self.idle))):
                unused.release()
        idle = self.idle[bindings] = []
        return idle


class Checkers:
    """The checkers of clients' messages that are in use."""

    #: How many checkers are kept; above, the oldest belongs only to the sessions that use it.
    MAX_KEPT = 64

    def __init__(self) -> None:
        self._kept: dict[tuple[bytes, int, int], ClientStanzas] = {}

    def get(self, root: bytes, max_depth: int, max_attributes: int) -> ClientStanzas:
        """Return the checker for these bindings and limits, which sessions share.

        The arguments are those of ``ClientStanzas``. The session calls ``release`` at its end.
        """
        key = (root, max_depth, max_attributes)
        checker = self._kept.get(key)
        if checker is None:
            if len(self._kept) >= self.MAX_KEPT:
                oldest = self._kept.pop(next(iter(self._kept)))
                oldest.shared = False
                oldest.release()
            checker = self._kept[key] = ClientStanzas(root, max_depth, max_attributes)
            checker.shared = True
        return checker


class Warned:
    """The warnings that were logged."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()

    def first_time(self, subject: str, domain: str) -> bool:
        """Return True for the first call with this subject and domain: only then is the warning logged."""
        if (subject, domain) in self._said:
            return False
        self._said.add((subject, domain))
        return True


cutters = Cutters()
checkers = Checkers()
warned = Warned()
