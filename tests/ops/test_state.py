"""The state file of the parent, whose writer may die at any time."""

from __future__ import annotations

from pathlib import Path

from wsgw.ops.state import StateFile, read_document


def test_a_document_half_written_at_the_writers_death_is_none(tmp_path: Path) -> None:
    path = tmp_path / "state"
    state = StateFile(path)
    state.publish({"pid": 1})
    assert state.read() == {"pid": 1}
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with path.open("rb") as file:
        assert read_document(file.fileno()) is None
    assert state.read() == {}
    state.close()
