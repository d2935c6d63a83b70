"""The table in which all workers of a gateway count connections: by worker, and by client address.

The table is in shared memory that the parent creates before it forks and that every worker maps. It stays
correct if a worker is killed between any two instructions:

- Each count belongs to the *slot* of one worker, and only that worker writes it. The gateway's count is the
  sum over all slots. The parent clears the slot of a dead worker.
- The locks are the kernel's (POSIX record locks, `fcntl(2)`), which it releases when their holder dies. A
  process locks one set of addresses, or the counts of connections, for some microseconds, and one at a time.
  If it is stopped in that time (by a debugger), others wait until it continues or dies.
- A parent that takes over from another one inherits the table's file (``handed_over``): its workers read the
  counts in it, and count in a new table. The older parent locks a byte of the file as long as it lives. When
  it is dead, no process clears the slots of dead workers any more, and the table no longer counts.
- The key of an entry is written while no connection refers to the entry, and its counts are written later.

A keyed hash assigns each address to a set of 64 entries, and an address is only ever in its set. Entries
never move, and no entry is marked as deleted: a lookup reads one set, however many addresses have come and
gone, and a connection can remember its entry. An entry is free again when it has no connections and its
bucket (``admission.take_token``) is full. If a set has no free entry, a new address takes the entry without
connections whose bucket is full next; if all entries have connections, there is no room for a new address.

Memory: 24 bytes per address, and 4 per address and worker, allocated by pages at the first use. It has no
Erlang twin: the original was one process without such limits.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import weakref
from hashlib import blake2b

#: Addresses that a table has room for: at least, and at most (the limit of open files may be 10 ** 9).
ADDRESSES = 65_536
MAX_ADDRESSES = 4_194_304
_WAYS = 64
_KEY = 16
_FULL_AT = 8
_COUNT = 4
#: The first page of the file: layout, number of slots, number of sets, key of the hash.
_HEAD = struct.Struct(f"=8sIQ{_KEY}s")
_LAYOUT = b"wsgw\0\0\0\1"
#: Bytes of each number on the next pages: how many slots are in use, then the connections of each slot.
_CONNECTIONS = 8


class SharedTable:
    """One table. The parent creates it, workers use it through ``Admission``; the last process frees it."""

    def __init__(self, file: int) -> None:
        """``file``: the descriptor of a table, which this object closes at its end. Raises OSError."""
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
        """A new table for at most ``slots`` workers at a time, now and after any reload.

        ``addresses``: its room for addresses, rounded up to a power of two, 64 at least. Raises OSError
        without memory.
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
        """The table of a previous parent. It owns ``file``, its descriptor, from now on.

        If the file is not a table of this layout, returns None and closes ``file``.
        """
        head, size = os.pread(file, _HEAD.size, 0), os.fstat(file).st_size
        if len(head) == _HEAD.size:
            layout, slots, sets, _ = _HEAD.unpack(head)
            if layout == _LAYOUT and size == _Places(slots, sets).size:
                return cls(file)
        os.close(file)
        return None

    def fileno(self) -> int:
        """The descriptor of the file, for the next parent to inherit."""
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
        """Include ``slot`` in the sums from now on. Raises IndexError if the table has no such slot."""
        if not 0 <= slot < self.slots:
            raise IndexError(f"slot {slot} of {self.slots}")
        self.lock(self._sets)
        try:
            self._connections[0] = max(self._connections[0], slot + 1)
        finally:
            self.unlock(self._sets)

    def worker_died(self, slot: int) -> None:
        """Clear the counts of a worker. The parent calls it after the worker has ended."""
        column = slice(slot * self._column, (slot + 1) * self._column)
        self._counts[column] = memoryview(bytes(self._column * _COUNT)).cast("I")
        self._connections[1 + slot] = 0

    # Connections

    def connections(self) -> int:
        """The number of connections of all slots."""
        return sum(self._connections[1 : 1 + self._connections[0]])

    def connections_of(self, slot: int) -> int:
        """The number of connections of one worker."""
        return self._connections[1 + slot]

    def add_connection(self, slot: int, most: int) -> bool:
        """Count one connection more; returns False, and counts nothing, if there are ``most`` already."""
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
        """(key, number of the set) of an address. As the hash has a key, peers cannot aim at one set."""
        key = blake2b(address.encode("utf-8", "replace"), digest_size=_KEY, key=self._secret).digest()
        return key, int.from_bytes(key[:8], "little") % self._sets

    def lock(self, number: int) -> None:
        """Lock a set against all other processes until ``unlock``; do not switch greenlets in between."""
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, number)

    def unlock(self, number: int) -> None:
        """Unlock a set."""
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)

    def find(self, number: int, key: bytes) -> int | None:
        """The entry of ``key`` in the set ``number``; None if it has none."""
        start = self._keys_at + number * _WAYS * _KEY
        keys = self._memory[start : start + _WAYS * _KEY]
        at = keys.find(key)
        while at % _KEY and at > 0:
            at = keys.find(key, at + 1)
        return None if at < 0 else number * _WAYS + at // _KEY

    def insert(self, number: int, key: bytes, now: float) -> int | None:
        """Make an entry for ``key`` in the locked set ``number``, which has none; None if the set is full."""
        entry = self._free_entry(number, key, now)
        if entry is not None:
            self._full_at[entry] = 0.0
            start = self._keys_at + entry * _KEY
            self._memory[start : start + _KEY] = key
        return entry

    def connections_from(self, entry: int) -> int:
        """The number of connections of all workers from the address of ``entry``."""
        return sum(self._counts[entry : self._connections[0] * self._column : self._column])

    def look_up(self, address: str) -> tuple[int, float]:
        """(connections of an address, when its bucket is full again), from a previous parent's table."""
        key, number = self.key_of(address)
        entry = self.find(number, key)
        return (0, 0.0) if entry is None else (self.connections_from(entry), self.full_at(entry))

    def full_at(self, entry: int) -> float:
        """When the bucket of ``entry`` is full again (seconds, monotonic)."""
        return self._full_at[entry]

    def charge(self, entry: int, slot: int, full_at: float) -> None:
        """Count one connection more from the address of ``entry``, whose set is locked."""
        self._full_at[entry] = full_at
        self._counts[slot * self._column + entry] += 1

    def discharge(self, entry: int, slot: int) -> None:
        """Count one connection less. It needs no lock: an entry with connections keeps its address."""
        self._counts[slot * self._column + entry] -= 1

    def _free_entry(self, number: int, key: bytes, now: float) -> int | None:
        first = number * _WAYS
        full_at = self._full_at[first : first + _WAYS].tolist()
        start = key[-1]  # a random place, so that the search is short even in a crowded set
        for turn in range(start, start + _WAYS):
            way = turn % _WAYS
            if full_at[way] <= now and not self.connections_from(first + way):
                return first + way
        idle = [way for way in range(_WAYS) if not self.connections_from(first + way)]
        return first + min(idle, key=full_at.__getitem__) if idle else None


class _Places:
    """The offsets of the parts of a table's file, in bytes."""

    def __init__(self, slots: int, sets: int) -> None:
        addresses = sets * _WAYS
        self.connections = _pages(_HEAD.size)
        self.keys = self.connections + _pages(_CONNECTIONS * (1 + slots))
        self.full_at = self.keys + _pages(addresses * _KEY)
        self.counts = self.full_at + _pages(addresses * _FULL_AT)
        #: The counts of one slot: their number, padded to whole pages.
        self.column = _pages(addresses * _COUNT) // _COUNT
        self.size = self.counts + slots * self.column * _COUNT


def addresses_for(connections: int) -> int:
    """The room for addresses that a table needs if each of ``connections`` comes from another address.

    It is twice their number: when a table is half full, one set in some millions has no free entry.
    """
    return min(max(ADDRESSES, 2 * connections), MAX_ADDRESSES)


def _pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
