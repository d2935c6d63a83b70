"""What all sessions of one worker share: the only state of the process that no object of the gateway holds.

Each worker is forked before it serves, and has its own. Sessions share to save memory and time, and to say a
thing once; none ever sees what another one sent.

    cutters    parsers of servers' streams, of which a stream needs one only inside a stanza: a session holds
               no parser (10.6 kB) between stanzas
    checkers   the parsers that clients' messages are checked by: a message is checked in one step, so
               all sessions with the same stream header and limits share one
    warned     what the log has been told once, because it concerns a server and not a session

The results that other modules remember (``lru_cache``) follow from the arguments alone: they are no state.
"""

from __future__ import annotations

from wsgw.stanzas.client import ClientStanzas
from wsgw.stanzas.cutter import StanzaCutter


class Cutters:
    """Cutters that stand between stanzas, and that no stream is using."""

    #: Kept at most, of one kind and of all kinds; a kind is what a stream's header binds.
    MAX_IDLE = 8
    MAX_KINDS = 64

    def __init__(self) -> None:
        self.idle: dict[bytes, list[StanzaCutter]] = {}

    def take(self, bindings: bytes) -> StanzaCutter:
        """Return a cutter that stands between the stanzas of a stream with these ``bindings``."""
        idle = self.idle.get(bindings)
        return idle.pop() if idle else StanzaCutter(bindings)

    def give_back(self, cutter: StanzaCutter) -> None:
        """Let others use a cutter that stands between stanzas, unless its parser must be replaced."""
        if not cutter.exhausted:
            idle = self.idle.get(cutter.bindings)
            if idle is None:
                idle = self._new_kind(cutter.bindings)
            if len(idle) < self.MAX_IDLE:
                idle.append(cutter)
                return
        cutter.let_go()

    def _new_kind(self, bindings: bytes) -> list[StanzaCutter]:
        if len(self.idle) >= self.MAX_KINDS:
            for unused in self.idle.pop(next(iter(self.idle))):
                unused.let_go()
        idle = self.idle[bindings] = []
        return idle


class Checkers:
    """The checkers of clients' messages that are in use."""

    #: Kept at most; the oldest is left to the sessions that have it.
    MAX_KEPT = 64

    def __init__(self) -> None:
        self._kept: dict[tuple[bytes, int, int], ClientStanzas] = {}

    def get(self, root: bytes, max_depth: int, max_attributes: int) -> ClientStanzas:
        """Return a checker, the same for many sessions; ``release`` it at the end."""
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
    """What the log has been told."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()

    def first_time(self, subject: str, domain: str) -> bool:
        """Whether the log has not yet been told of this subject for this domain; it has been from now on."""
        if (subject, domain) in self._said:
            return False
        self._said.add((subject, domain))
        return True


cutters = Cutters()
checkers = Checkers()
warned = Warned()
