"""What a file is, and every way in which a file is refused."""

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from video_files import ffmpeg, moving_pattern, numbered_video

from worker.video_io import Clip, Limits, VideoError, probe, read_clip

ENOUGH_SECONDS = 5.0


def _empty(path: Path) -> None:
    path.touch()


def _garbage(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(20_000))


def _without_moov(path: Path) -> None:
    data = numbered_video(path).read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])


def _audio_only(path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine=d=0.5", str(path))


def _cover_art(path: Path) -> None:
    picture = path.with_suffix(".png")
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64:d=1", "-frames:v", "1", str(picture))
    source = ["-f", "lavfi", "-i", "sine=d=0.5", "-i", str(picture), "-map", "0", "-map", "1"]
    ffmpeg(*source, "-c:v", "copy", "-disposition:v", "attached_pic", str(path))


def _no_frames(path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", "0", "-f", "avi", str(path))


def _playlist(path: Path) -> None:
    part = numbered_video(path.with_suffix(".ts"), "-pix_fmt", "yuv420p", count=5)
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{part}\n#EXT-X-ENDLIST\n")


def _concat_list(path: Path) -> None:
    numbered_video(path.with_name("part.mp4"), count=5)
    path.write_text("ffconcat version 1.0\nfile 'part.mp4'\n")


def _bomb(path: Path) -> None:
    picture = "color=s=16384x8704:r=1:d=1"
    ffmpeg("-f", "lavfi", "-i", picture, "-pix_fmt", "yuv420p", "-preset", "ultrafast", str(path))


def _too_long(path: Path) -> None:
    moving_pattern(path, "16x16", 601, 1, "-preset", "ultrafast")


def _too_long_without_header(path: Path) -> None:
    slow = ["-preset", "ultrafast", "-f", "matroska", "-live", "1"]
    moving_pattern(path, "16x16", 601, 1, *slow)


def _damaged_frames(path: Path) -> None:
    data = bytearray(numbered_video(path).read_bytes())
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[start:end] = bytes(end - start)
    path.write_bytes(data)


def _clip(path: Path) -> Clip:
    return read_clip(path, num_frames=5, height=32, width=32)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("read", [probe, _clip])
@pytest.mark.parametrize(
    ("make", "name", "code", "message"),
    [
        (_empty, "a.mp4", "empty_video", "0 bytes"),
        (_garbage, "a.mp4", "invalid_video", "not a readable video"),
        (_without_moov, "a.mp4", "invalid_video", "not a readable video"),
        (_damaged_frames, "a.mp4", "invalid_video", "none of the 60 frames"),
        (_audio_only, "a.mp4", "no_video_stream", "streams: audio"),
        (_cover_art, "a.mp4", "no_video_stream", "no video stream"),
        (_no_frames, "a.avi", "empty_video", "0 frames"),
        (_playlist, "a.mp4", "invalid_video", "not a readable video"),
        (_playlist, "a.m3u8", "unsupported_format", "not one of mov,mp4"),
        (_concat_list, "a.mp4", "unsupported_format", "not one of mov,mp4"),
        (_bomb, "a.mp4", "video_too_large", "16384x8704 = 142606336 pixels, the limit is 9437184"),
        (_too_long, "a.mp4", "video_too_long", r"601\.0 s, the limit is 600 s"),
        (_too_long_without_header, "a.mkv", "video_too_long", "the limit is 600 s"),
    ],
)
def test_a_hostile_file_is_refused_quickly_with_its_code(
    tmp_path: Path,
    read: Callable[[Path], object],
    make: Callable[[Path], None],
    name: str,
    code: str,
    message: str,
) -> None:
    path = tmp_path / name
    make(path)
    started = time.monotonic()
    with pytest.raises(VideoError, match=message) as refusal:
        read(path)
    assert refusal.value.code == code
    assert time.monotonic() - started < ENOUGH_SECONDS


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"cannot read a\.mp4: No such file") as refusal:
        probe(tmp_path / "a.mp4")
    assert refusal.value.code == "unreadable_file"


def test_an_address_is_a_file_that_is_not_there() -> None:
    with pytest.raises(VideoError, match="cannot read") as refusal:
        probe(Path("http://127.0.0.1:9/a.mp4"))
    assert refusal.value.code == "unreadable_file"


@pytest.mark.timeout(20)
def test_a_named_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(VideoError, match="not a regular file") as refusal:
        probe(tmp_path / "a.mp4")
    assert refusal.value.code == "unreadable_file"


@pytest.mark.parametrize(("spare", "accepted"), [(-1, False), (0, True), (1, True)])
def test_the_limit_on_bytes_is_exact(tmp_path: Path, spare: int, accepted: bool) -> None:
    path = numbered_video(tmp_path / "a.mp4", count=3)
    limits = Limits(max_bytes=path.stat().st_size + spare)
    if accepted:
        assert probe(path, limits).width == 64
    else:
        with pytest.raises(VideoError, match=f"the limit is {limits.max_bytes}") as refusal:
            probe(path, limits)
        assert refusal.value.code == "file_too_large"


@pytest.mark.parametrize(("limit", "accepted"), [(64 * 64 - 1, False), (64 * 64, True)])
def test_the_limit_on_pixels_is_exact(tmp_path: Path, limit: int, accepted: bool) -> None:
    path = numbered_video(tmp_path / "a.mp4", count=3)
    if accepted:
        assert probe(path, Limits(max_pixels=limit)).width == 64
    else:
        with pytest.raises(VideoError, match="64x64 = 4096 pixels, the limit is 4095"):
            probe(path, Limits(max_pixels=limit))


def test_reading_stops_at_the_deadline(tmp_path: Path) -> None:
    path = numbered_video(tmp_path / "a.mp4")
    with pytest.raises(VideoError, match=r"longer than the limit of 1e-06 s") as refusal:
        read_clip(path, num_frames=5, height=32, width=32, limits=Limits(max_decode_seconds=1e-6))
    assert refusal.value.code == "decode_timeout"


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.avi", "a.ts"])
def test_probe_tells_size_length_and_codec(tmp_path: Path, name: str) -> None:
    options = ["-c:v", "libx264", "-bf", "0", "-pix_fmt", "yuv420p"]
    path = moving_pattern(tmp_path / name, "96x64", 1, 20, *options)
    info = probe(path)
    assert (info.width, info.height, info.frame_count, info.codec) == (96, 64, 20, "h264")
    assert info.duration_seconds == pytest.approx(1.0, abs=0.06)
    assert info.fps == pytest.approx(20)


def test_probe_gives_the_size_after_rotation(tmp_path: Path) -> None:
    path = moving_pattern(tmp_path / "a.mp4", "96x64", 0.2, 20, "-pix_fmt", "yuv420p")
    ffmpeg("-display_rotation", "90", "-i", str(path), "-c", "copy", str(tmp_path / "b.mp4"))
    info = probe(tmp_path / "b.mp4")
    assert (info.width, info.height, info.rotation) == (64, 96, 90)
