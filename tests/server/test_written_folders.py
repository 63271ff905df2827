"""What is exported goes where it was told to, and to nobody else."""

import os
import stat
from pathlib import Path

import pytest

from provlog.server.moving.folders import Folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("private", [True, False])
def test_what_somebody_put_in_the_place_of_a_staged_file_is_not_written_to(
    tmp_path: Path, private: bool
) -> None:
    """By a link, or in a file of theirs, they could read what is written."""
    theirs, linked = tmp_path / "theirs", tmp_path / "linked"
    for path in (theirs, linked):
        path.write_bytes(b"as it was")
    folder = Folder(tmp_path / "folder", private=private)
    folder.make()
    (folder.path / "a.new").symlink_to(theirs)
    os.link(linked, folder.path / "b.new")
    (folder.path / "c.new").symlink_to(theirs)
    folder.write("a", b"personal")
    folder.write("b", b"personal")
    with folder.placing("c") as path:
        path.write_bytes(b"personal")
    assert theirs.read_bytes() == linked.read_bytes() == b"as it was"
    for name in ("a", "b", "c"):
        path = folder.path / name
        assert path.read_bytes() == b"personal"
        assert not path.is_symlink()
        assert mode(path) == (0o600 if private else 0o644)


def test_a_private_folder_that_was_there_is_the_owner_s_alone(tmp_path: Path) -> None:
    before = tmp_path / "there"
    before.mkdir()
    before.chmod(0o777)
    Folder(before, private=True).make()
    assert mode(before) == 0o700
    # What a web server hands out has the mode that its operator gave it.
    before.chmod(0o750)
    Folder(before, private=False).make()
    assert mode(before) == 0o750
