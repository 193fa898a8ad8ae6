"""A state in a file: what can be wrong with the file itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ipkit.core.host.kernel import LINUX_4_14
from ipkit.core.lanes import RowWish
from ipkit.core.reassemble_lane import ReassembleLane, ReassembleOptions
from ipkit.core.state_fields import StateError
from ipkit.edge.state_file import load_state, save_state
from ipkit.errors import WriteError
from tests.support.batches import batch_of
from tests.support.reassembled import frag


def lane() -> ReassembleLane:
    return ReassembleLane(ReassembleOptions(LINUX_4_14, saves=True), RowWish.ALL)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    first, second, name = lane(), lane(), str(tmp_path / "state.json")
    first.process(batch_of([frag("A", 0)]))
    save_state(name, first)
    load_state(name, second)
    done = second.process(batch_of([frag("B", 16, last=True)]))
    assert [row.row["status"] for row in done.rows] == ["complete"]
    assert json.loads(Path(name).read_text())["format"] == "ipkit reassemble state"


def test_no_file_is_nothing_waiting(tmp_path: Path) -> None:
    load_state(str(tmp_path / "none"), lane())


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5000, b'{"a": NaN}', b"null"])
def test_files_that_hold_no_state(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "odd").write_bytes(text)
    with pytest.raises(StateError, match="odd: "):
        load_state(str(tmp_path / "odd"), lane())


def test_a_folder_and_standard_input_are_no_files(tmp_path: Path) -> None:
    for name in (str(tmp_path), "-"):
        with pytest.raises(StateError):
            load_state(name, lane())


def test_what_stood_there_stands_where_the_new_state_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(WriteError):
        save_state(str(tmp_path / "missing" / "state"), lane())
