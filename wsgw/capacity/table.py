"""What all workers of a gateway count together: connections by worker, and by client address.

The table lies in memory that the parent makes before it forks and that every worker maps. It is
written so that a worker may be killed between any two instructions:

- A count belongs to one worker, its *slot*, and nobody else writes it. A sum over the slots is the
  gateway's; the parent forgets a dead worker by clearing its slot.
- The lock is the kernel's (POSIX record locks, `fcntl(2)`) and dies with its holder. It locks one set of
  addresses, or the connections, for some microseconds; a process holds one lock at a time. Whoever
  stops a process just then (a debugger) lets others wait until it goes on or is killed.
- A parent that takes over from another is handed the file (``handed_over``): its workers read what is
  counted there, and count in a file of their own. The older parent holds a lock of the file as long as it
  lives; without it nobody would clear the slots of the dead, so that what is counted there counts no more.
- The key of an entry is written while nothing refers to the entry, and its counts only after it.

Addresses are spread by a keyed hash over sets of 64 entries, and an address is only ever in its own
set. So nothing moves when another is removed: there is nothing to mark as deleted or to shift, a
lookup never reads more than its set, however many addresses have come and gone, and a
connection may remember its entry. An entry is free again when it has no connections and its bucket
(see ``admission.take_token``) is full. If none of a set is, the one without connections that is nearest to
full is given up; if all have connections, there is no room for a new address.

Memory: 24 bytes an address and 4 for each worker, taken by pages as they are touched. Erlang twin:
none, the original was one process and had no caps.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import weakref
from hashlib import blake2b

#: Room for addresses: at least, and at most (a limit of open files may be a thousand million).
ADDRESSES = 65_536
MAX_ADDRESSES = 4_194_304
_WAYS = 64
_KEY = 16
_FULL_AT = 8
_COUNT = 4
#: The first page of the file: its layout; slots; sets; the secret that addresses are hashed with.
_HEAD = struct.Struct(f"=8sIQ{_KEY}s")
_LAYOUT = b"wsgw\0\0\0\1"
#: The first of the next: how many slots are in use; then the connections of each.
_CONNECTIONS = 8


class SharedTable:
    """Created once, by the parent; ``Admission`` is how a worker uses it. Freed with its last user."""

    def __init__(self, file: int) -> None:
        """``file`` is the descriptor of a table, and the table's from now on. Raises OSError."""
        weakref.finalize(self, os.close, file)
        _, self.slots, self._sets, self._secret = _HEAD.unpack(os.pread(file, _HEAD.size, 0))
        places = _Places(self.slots, self._sets)
        self.addresses = self._sets * _WAYS
        self._file = file
        self._memory = mmap.mmap(file, places.size)
        whole = memoryview(self._memory)
        self._connections = whole[places.connections :][: _CONNECTIONS * (1 + self.slots)].cast("Q")
        self._keys_at, self._column = places.keys, places.column
        self._full_at = whole[places.full_at :][: self.addresses * _FULL_AT].cast("d")
        self._counts = whole[places.counts :].cast("I")

    @classmethod
    def create(cls, slots: int, addresses: int = ADDRESSES) -> SharedTable:
        """A new table: ``slots`` is how many workers there may ever be at a time, those of reloads included.

        ``addresses`` is rounded up to a power of two, 64 at least. Raises OSError without memory.
        """
        sets = 1 << max(0, (addresses - 1) // _WAYS).bit_length()
        file = os.memfd_create("wsgw")
        os.ftruncate(file, _Places(slots, sets).size)
        os.pwrite(file, _HEAD.pack(_LAYOUT, slots, sets, os.urandom(_KEY)), 0)
        table = cls(file)
        table.lock(sets + 1)
        return table

    @classmethod
    def handed_over(cls, file: int) -> SharedTable | None:
        """The table of another parent, by its descriptor, which is ours then; None if it is no such table."""
        head, size = os.pread(file, _HEAD.size, 0), os.fstat(file).st_size
        if len(head) == _HEAD.size:
            layout, slots, sets, _ = _HEAD.unpack(head)
            if layout == _LAYOUT and size == _Places(slots, sets).size:
                return cls(file)
        os.close(file)
        return None

    def fileno(self) -> int:
        """The descriptor, for whoever is to be handed it over."""
        return self._file

    @property
    def is_counted(self) -> bool:
        """Whether the parent that created the table lives; otherwise its counts are no longer maintained.

        The parent itself must not ask: its own lock is no obstacle to it.
        """
        try:
            fcntl.lockf(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, self._sets + 1)
        except OSError:
            return True
        self.unlock(self._sets + 1)
        return False

    # Slots

    def use_slot(self, slot: int) -> None:
        """Count ``slot`` from now on. Raises IndexError if there is none of that number."""
        if not 0 <= slot < self.slots:
            raise IndexError(f"slot {slot} of {self.slots}")
        self.lock(self._sets)
        try:
            self._connections[0] = max(self._connections[0], slot + 1)
        finally:
            self.unlock(self._sets)

    def worker_died(self, slot: int) -> None:
        """Forget the connections of a worker; the parent calls it once it has waited for it."""
        column = slice(slot * self._column, (slot + 1) * self._column)
        self._counts[column] = memoryview(bytes(self._column * _COUNT)).cast("I")
        self._connections[1 + slot] = 0

    # Connections

    def connections(self) -> int:
        """Connections of the whole gateway."""
        return sum(self._connections[1 : 1 + self._connections[0]])

    def connections_of(self, slot: int) -> int:
        """Connections of one worker."""
        return self._connections[1 + slot]

    def add_connection(self, slot: int, most: int) -> bool:
        """Count one connection more, unless the gateway has ``most``."""
        self.lock(self._sets)
        try:
            if self.connections() >= most:
                return False
            self._connections[1 + slot] += 1
        finally:
            self.unlock(self._sets)
        return True

    def remove_connection(self, slot: int) -> None:
        """Count one connection less."""
        self._connections[1 + slot] -= 1

    # Addresses

    def key_of(self, address: str) -> tuple[bytes, int]:
        """Return (key, number of its set) of an address; nobody outside can tell which share a set."""
        key = blake2b(address.encode("utf-8", "replace"), digest_size=_KEY, key=self._secret).digest()
        return key, int.from_bytes(key[:8], "little") % self._sets

    def lock(self, number: int) -> None:
        """Keep every other process away from a set until ``unlock``; do not switch greenlets meanwhile."""
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, number)

    def unlock(self, number: int) -> None:
        """Let others at the set."""
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)

    def find(self, number: int, key: bytes) -> int | None:
        """Return the entry of ``key`` in its set."""
        start = self._keys_at + number * _WAYS * _KEY
        keys = self._memory[start : start + _WAYS * _KEY]
        at = keys.find(key)
        while at % _KEY and at > 0:
            at = keys.find(key, at + 1)
        return None if at < 0 else number * _WAYS + at // _KEY

    def insert(self, number: int, key: bytes, now: float) -> int | None:
        """Give ``key``, which is not in its locked set, an entry; None if there is no room."""
        entry = self._free_entry(number, key, now)
        if entry is not None:
            self._full_at[entry] = 0.0
            start = self._keys_at + entry * _KEY
            self._memory[start : start + _KEY] = key
        return entry

    def connections_from(self, entry: int) -> int:
        """Connections of the whole gateway from the address of ``entry``."""
        return sum(self._counts[entry : self._connections[0] * self._column : self._column])

    def look_up(self, address: str) -> tuple[int, float]:
        """Return (connections of an address, when its bucket is full again), in another parent's table."""
        key, number = self.key_of(address)
        entry = self.find(number, key)
        return (0, 0.0) if entry is None else (self.connections_from(entry), self.full_at(entry))

    def full_at(self, entry: int) -> float:
        """When the bucket of ``entry`` is full again (seconds, monotonic)."""
        return self._full_at[entry]

    def charge(self, entry: int, slot: int, full_at: float) -> None:
        """Count one connection more from the address of ``entry``, in its locked set."""
        self._full_at[entry] = full_at
        self._counts[slot * self._column + entry] += 1

    def discharge(self, entry: int, slot: int) -> None:
        """Count one connection less. Needs no lock: the entry stays its address's while it has any."""
        self._counts[slot * self._column + entry] -= 1

    def _free_entry(self, number: int, key: bytes, now: float) -> int | None:
        first = number * _WAYS
        full_at = self._full_at[first : first + _WAYS].tolist()
        start = key[-1]  # at random, so that even in a crowded set few are looked at
        for turn in range(start, start + _WAYS):
            way = turn % _WAYS
            if full_at[way] <= now and not self.connections_from(first + way):
                return first + way
        idle = [way for way in range(_WAYS) if not self.connections_from(first + way)]
        return first + min(idle, key=full_at.__getitem__) if idle else None


class _Places:
    """Where the parts of a file begin, in bytes."""

    def __init__(self, slots: int, sets: int) -> None:
        addresses = sets * _WAYS
        self.connections = _pages(_HEAD.size)
        self.keys = self.connections + _pages(_CONNECTIONS * (1 + slots))
        self.full_at = self.keys + _pages(addresses * _KEY)
        self.counts = self.full_at + _pages(addresses * _FULL_AT)
        #: Counts of one slot.
        self.column = _pages(addresses * _COUNT) // _COUNT
        self.size = self.counts + slots * self.column * _COUNT


def addresses_for(connections: int) -> int:
    """Room for addresses that is enough even if each of so many connections has its own.

    Twice as many: at half its room, one set in some millions is full.
    """
    return min(max(ADDRESSES, 2 * connections), MAX_ADDRESSES)


def _pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
