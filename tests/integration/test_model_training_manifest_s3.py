"""Manifests and shards in a bucket, whose clips lie beside them there."""

import io
import json
import tarfile

import pytest

from contract.artifacts import ArtifactStore
from model.training.manifest import read_entries

WORDS = {"prompt": "a red circle", "caption": None}


@pytest.fixture
def bucket(s3_server, monkeypatch):
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3_server.new_bucket()}"


def put(bucket, files):
    store = ArtifactStore(bucket)
    for name, content in files.items():
        store.put(name, content, "application/octet-stream")


@pytest.mark.parametrize("folder", ["", "sets/a b/"])
def test_a_manifest_s_clips_lie_beside_it_in_the_bucket(bucket, folder):
    rows = [WORDS | {"video": name} for name in ("clips/one.mp4", f"{bucket}/two.mp4", "none.mp4")]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    put(bucket, {f"{folder}clips/one.mp4": b"one", "two.mp4": b"two", f"{folder}m.jsonl": lines})
    one, two, none = read_entries(f"{bucket}/{folder}m.jsonl")
    assert (one.read(), two.read()) == (b"one", b"two")
    with pytest.raises(FileNotFoundError, match=r"none\.mp4"):
        none.read()


def test_a_shard_is_read_from_the_bucket(bucket):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as shard:
        for name, part in (("1.mp4", b"one"), ("1.json", json.dumps(WORDS).encode())):
            member = tarfile.TarInfo(name)
            member.size = len(part)
            shard.addfile(member, io.BytesIO(part))
    put(bucket, {"0.tar": content.getvalue()})
    (entry,) = read_entries(f"{bucket}/0.tar")
    assert (entry.read(), entry.place) == (b"one", f"{bucket}/0.tar sample 1")


def test_a_manifest_that_is_not_there_is_named(bucket):
    with pytest.raises(ValueError, match=r"manifest 's3://.*none\.jsonl'"):
        list(read_entries(f"{bucket}/none.jsonl"))
