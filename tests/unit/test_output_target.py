"""Output targets: whole or not at all, links and modes kept, devices written directly."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from ipkit.edge.output_target import OutputTarget
from ipkit.errors import WriteError


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_nothing_appears_before_commit(tmp_path: Path) -> None:
    target = OutputTarget(str(tmp_path / "out"))
    target.write(b"new")
    assert not (tmp_path / "out").exists()
    target.commit()
    assert contents(tmp_path) == {"out": b"new"}


def test_an_abandoned_target_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")
    with OutputTarget(str(tmp_path / "out")) as target:
        target.write(b"new")
    assert contents(tmp_path) == {"out": b"old"}


def test_mode_of_the_old_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    path.chmod(0o640)
    with OutputTarget(str(path)) as target:
        target.write(b"new")
        target.commit()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_new_file_gets_the_mode_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with OutputTarget(str(tmp_path / "out")) as target:
            target.commit()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640


def test_a_symbolic_link_keeps_pointing(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with OutputTarget(str(tmp_path / "link")) as target:
        target.write(b"new")
        target.commit()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_fifo_is_written_directly(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append(path.read_bytes()))
    reader.start()
    with OutputTarget(str(path)) as target:
        target.write(b"through")
        target.commit()
    reader.join(5)
    assert heard == [b"through"]
    assert path.is_fifo()


def test_a_full_device_is_a_write_error() -> None:
    with OutputTarget("/dev/full") as target, pytest.raises(WriteError, match=r"^/dev/full: no space left on device$"):
        target.write(b"x" * 100_000)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"nowhere/out: no such file or directory"):
        OutputTarget(str(tmp_path / "nowhere" / "out"))


def test_a_folder_is_no_target(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="is a directory"):
        OutputTarget(str(tmp_path))


def test_a_link_in_a_circle_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(WriteError, match="/a: too many levels of symbolic links"):
        OutputTarget(str(tmp_path / "a"))


def test_a_link_that_leads_nowhere_yet(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    with OutputTarget(str(tmp_path / "link")) as target:
        target.commit()
    assert (tmp_path / "link").is_symlink()
    assert contents(tmp_path) == {"link": b"", "real": b""}


@pytest.mark.parametrize("name", ["é" * 127, "n" * 255], ids=["two bytes a letter", "one byte a letter"])
def test_the_longest_of_names(name: str, tmp_path: Path) -> None:
    with OutputTarget(str(tmp_path / name)) as target:
        target.write(b"new")
        target.commit()
    assert contents(tmp_path) == {name: b"new"}


@pytest.mark.parametrize("folder", ["/dev/fd", "/proc/self/fd"])
def test_a_descriptor_by_name_is_written_where_it_stands(folder: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"before ")
    with log.open("ab") as appending, OutputTarget(f"{folder}/{appending.fileno()}") as target:
        target.write(b"and after")
        target.commit()
    assert contents(tmp_path) == {"log": b"before and after"}


def test_a_pipe_by_name_is_written_directly() -> None:
    ours, theirs = os.pipe()
    with OutputTarget(f"/dev/fd/{theirs}") as target:
        target.write(b"through")
        assert os.read(ours, 100) == b"through"
    os.close(ours)
    os.close(theirs)


def test_a_descriptor_that_is_not_open() -> None:
    with pytest.raises(WriteError, match=r"^/dev/fd/999999999999: "):
        OutputTarget("/dev/fd/999999999999")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_owner_of_the_old_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    os.chown(path, 1234, 4321)
    with OutputTarget(str(path)) as target:
        target.commit()
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)
