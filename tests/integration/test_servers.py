"""The servers that other tests rely on are real ones: they refuse what a real one refuses."""

import obstore
import pytest
import redis
from obstore.exceptions import BaseError
from obstore.store import S3Store
from s3_servers import S3Server


def bucket_store(server: S3Server, bucket: str, secret: str) -> S3Store:
    return S3Store(
        bucket,
        endpoint=server.endpoint,
        access_key_id=server.access_key_id,
        secret_access_key=secret,
        region=server.region,
        client_options={"allow_http": True},
    )


def test_an_object_comes_back_from_a_new_bucket(s3_server: S3Server) -> None:
    store = bucket_store(s3_server, s3_server.new_bucket(), s3_server.secret_access_key)
    obstore.put(store, "folder/video.mp4", b"frames")
    assert obstore.get(store, "folder/video.mp4").bytes() == b"frames"


def test_a_wrong_secret_is_refused(s3_server: S3Server) -> None:
    store = bucket_store(s3_server, s3_server.new_bucket(), "wrong")
    with pytest.raises(BaseError, match="SignatureDoesNotMatch"):
        obstore.put(store, "video.mp4", b"frames")


def test_the_environment_of_the_server_is_all_a_client_needs(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    store = S3Store(s3_server.new_bucket())
    obstore.put(store, "caption.txt", b"a red ball")
    assert obstore.get(store, "caption.txt").bytes() == b"a red ball"


@pytest.mark.every_redis
@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_starts_with_an_empty_redis(redis_url: str, turn: int) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left behind by turn", turn)
