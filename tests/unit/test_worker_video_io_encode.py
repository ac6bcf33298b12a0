"""The MP4 the worker hands out: plays everywhere, carries its caption, appears whole or not."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from video_files import numbered_frames, numbers_of

from worker.video_io import EncodeError, Mp4Encoder, encode_mp4, probe, read_clip
from worker.video_io.isolated import child_environment

pytestmark = pytest.mark.timeout(30)

CAPTION = 'A "red" <ball> & a cube;\nit rolls = 50% \\ caf\u00e9 \u65e5\u672c'
METADATA = {"generator": "Uni-ViGU", "seed": 7, "prompt": "it's a 'ball'"}


def _encode(path: Path, frames: NDArray[np.uint8], caption: str = CAPTION) -> Path:
    encode_mp4(
        iter([frames]), path, num_frames=len(frames), fps=16, caption=caption, metadata=METADATA
    )
    return path


def test_frames_come_back_in_order_at_their_rate(tmp_path: Path) -> None:
    path = _encode(tmp_path / "a.mp4", numbered_frames(33, 48, 64))
    info = probe(path)
    assert (info.width, info.height, info.frame_count, info.fps) == (64, 48, 33, 16.0)
    assert info.duration_seconds == pytest.approx(33 / 16)
    clip = read_clip(path, num_frames=33, height=48, width=64)
    assert numbers_of(clip.frames) == list(range(33))


def test_the_stream_is_what_every_player_takes(tmp_path: Path) -> None:
    path = _encode(tmp_path / "a.mp4", numbered_frames(5))
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        bt709, limited = 1, 1
        assert (context.colorspace, context.color_range) == (bt709, limited)
        assert (context.color_primaries, context.color_trc) == (bt709, bt709)
    data = path.read_bytes()
    assert 0 < data.index(b"ftyp") < data.index(b"moov") < data.index(b"mdat")  # faststart


def test_caption_and_metadata_are_in_the_file(tmp_path: Path) -> None:
    path = _encode(tmp_path / "a.mp4", numbered_frames(5))
    with av.open(str(path)) as container:
        assert container.metadata["title"] == container.metadata["description"] == CAPTION
        assert json.loads(container.metadata["comment"]) == METADATA


def test_the_caption_is_a_subtitle_as_long_as_the_video(tmp_path: Path) -> None:
    caption = "A <b>red</b> ball & a cube;\n\nit rolls"
    path = _encode(tmp_path / "a.mp4", numbered_frames(32), caption)
    with av.open(str(path)) as container:
        track = container.streams.subtitles[0]
        cue = next(container.demux(track))
        assert bytes(cue)[2:].decode() == "A <b>red</b> ball & a cube; it rolls"
        assert float(cue.duration * cue.time_base) == 2.0
        assert track.language == "eng"


def test_without_a_caption_there_is_no_subtitle(tmp_path: Path) -> None:
    path = _encode(tmp_path / "a.mp4", numbered_frames(3), "")
    with av.open(str(path)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert "title" not in container.metadata


@pytest.mark.parametrize(
    "colour",
    [(220, 40, 40), (40, 180, 70), (50, 80, 220), (240, 220, 60), (255, 255, 255), (12, 12, 14)],
)
def test_a_flat_colour_survives(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    frames = np.broadcast_to(np.array(colour, np.uint8), (9, 48, 64, 3))
    clip = read_clip(_encode(tmp_path / "a.mp4", frames), num_frames=9, height=48, width=64)
    assert np.abs(clip.frames[0].astype(int) - colour).max() <= 6


def test_the_same_input_gives_the_same_bytes_however_it_is_cut(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (30, 96, 128, 3), np.uint8)
    once = _encode(tmp_path / "a.mp4", frames).read_bytes()
    with Mp4Encoder(
        tmp_path / "b.mp4", num_frames=30, fps=16, caption=CAPTION, metadata=METADATA
    ) as encoder:
        encoder.write(frames[0])
        encoder.write(frames[1:8])
        encoder.write(np.asfortranarray(frames[8:]))
    assert (tmp_path / "b.mp4").read_bytes() == once


def test_encoding_runs_before_the_last_frames_exist(tmp_path: Path) -> None:
    seen = []

    def made_slowly() -> Iterator[NDArray[np.uint8]]:
        for part in np.split(np.zeros((200, 64, 64, 3), np.uint8), 4):
            seen.append(sorted(path.name for path in tmp_path.iterdir()))
            yield part

    encode_mp4(made_slowly(), tmp_path / "a.mp4", num_frames=200, fps=16)
    assert seen[0] == []
    assert seen[-1] == [".a.mp4.partial"]  # ffmpeg has frames to write; the name is not given yet
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((2, 48, 65, 3), np.uint8), "must be even, got 65x48"),
        (np.zeros((2, 47, 64, 3), np.uint8), "must be even, got 64x47"),
        (np.zeros((2, 48, 64, 3), np.float32), "got float32"),
        (np.zeros((2, 48, 64, 4), np.uint8), r"got uint8 \[2, 48, 64, 4\]"),
        (np.zeros((3, 48, 64, 3), np.uint8), "more than num_frames=2"),
        (np.zeros((1, 48, 64, 3), np.uint8), "1 of 2 frames"),
        (np.zeros((0, 48, 64, 3), np.uint8), "0 of 2 frames"),
    ],
)
def test_wrong_frames_are_refused_and_leave_nothing(
    tmp_path: Path, frames: NDArray[np.uint8], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        encode_mp4([frames], tmp_path / "a.mp4", num_frames=2, fps=16)
    assert list(tmp_path.iterdir()) == []


def test_no_frames_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 of 2 frames"):
        encode_mp4([], tmp_path / "a.mp4", num_frames=2, fps=16)


def test_frames_that_change_size_are_refused(tmp_path: Path) -> None:
    parts = [np.zeros((1, 48, 64, 3), np.uint8), np.zeros((1, 64, 64, 3), np.uint8)]
    with pytest.raises(ValueError, match="64x64 follows frames of another size"):
        encode_mp4(parts, tmp_path / "a.mp4", num_frames=2, fps=16)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_of_the_frames_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[NDArray[np.uint8]]:
        yield np.zeros((1, 48, 64, 3), np.uint8)
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        encode_mp4(broken(), tmp_path / "a.mp4", num_frames=2, fps=16)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [1, 60])  # fails at the end, and while frames still come
def test_a_failure_of_ffmpeg_says_what_it_said(tmp_path: Path, count: int) -> None:
    frames = [np.zeros((4, 256, 256, 3), np.uint8)] * count
    path = tmp_path / "missing" / "a.mp4"
    with pytest.raises(EncodeError, match="No such file or directory"):
        encode_mp4(frames, path, num_frames=4 * count, fps=16)


def test_a_process_that_dies_leaves_no_file_under_the_name(tmp_path: Path) -> None:
    code = f"""
import os, pathlib, signal, numpy
from worker.video_io import Mp4Encoder
encoder = Mp4Encoder(pathlib.Path({str(tmp_path / "a.mp4")!r}), num_frames=90, fps=16)
encoder.write(numpy.zeros((60, 64, 64, 3), numpy.uint8))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], env=child_environment())
    assert done.returncode == -9
    assert not (tmp_path / "a.mp4").exists()
