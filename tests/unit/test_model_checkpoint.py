import shutil

import pytest

from model.checkpoint import fingerprint


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "a"
    (folder / "transformer").mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    (folder / "transformer" / "weights").write_bytes(bytes(200_000))
    return folder


def test_fingerprint_is_twelve_hex_digits(folder):
    assert len(fingerprint(folder)) == 12
    assert int(fingerprint(folder), 16)


def test_fingerprint_of_a_copy_is_the_same(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "elsewhere" / "b")
    assert fingerprint(str(copy)) == fingerprint(folder)


@pytest.mark.parametrize("position", [0, 65_535, 200_000 - 65_536, 199_999])
def test_fingerprint_changes_with_a_byte_at_either_end_of_a_file(folder, position):
    before = fingerprint(folder)
    content = bytearray(200_000)
    content[position] = 1
    (folder / "transformer" / "weights").write_bytes(content)
    assert fingerprint(folder) != before


def test_fingerprint_changes_with_the_size_of_a_file(folder):
    before = fingerprint(folder)
    (folder / "transformer" / "weights").write_bytes(bytes(200_001))
    assert fingerprint(folder) != before


def test_fingerprint_changes_with_the_name_of_a_file(folder):
    before = fingerprint(folder)
    (folder / "transformer" / "weights").rename(folder / "transformer" / "other")
    assert fingerprint(folder) != before


def test_fingerprint_changes_with_a_new_file(folder):
    before = fingerprint(folder)
    (folder / "empty").touch()
    assert fingerprint(folder) != before


def test_fingerprint_of_a_real_checkpoint_is_stable(tiny_checkpoint):
    assert fingerprint(tiny_checkpoint) == fingerprint(tiny_checkpoint)


def test_a_folder_without_model_index_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"checkpoint .*: there is no model_index\.json"):
        fingerprint(tmp_path)
