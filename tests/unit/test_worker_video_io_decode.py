"""Which frames a clip shows, from any container, and how they are brought to size."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from video_files import (
    ffmpeg,
    moving_pattern,
    nearest_on_grid,
    numbered_video,
    numbers_of,
)

from worker.video_io import Clip, Limits, read_clip, read_segments, sampling
from worker.video_io.geometry import cover_box

pytestmark = pytest.mark.timeout(20)

H264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p"]
SHORT_GOPS = [*H264, "-g", "7", "-bf", "2"]
PALETTE = "split[a][b];[a]palettegen[p];[b][p]paletteuse=dither=none"
CONTAINERS = [
    ("a.mp4", H264),
    ("a.mp4", SHORT_GOPS),
    ("a.mp4", [*SHORT_GOPS, "-movflags", "+frag_keyframe+empty_moov"]),
    ("a.mp4", ["-c:v", "libx264", "-g", "1", "-pix_fmt", "yuv444p"]),
    ("a.mp4", ["-c:v", "libx265", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p10le"]),
    ("a.mp4", ["-c:v", "libsvtav1", "-preset", "10", "-svtav1-params", "keyint=10"]),
    ("a.mov", SHORT_GOPS),
    ("a.mov", ["-c:v", "prores_ks"]),
    ("a.mkv", SHORT_GOPS),
    ("a.webm", ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "9"]),
    ("a.avi", ["-c:v", "mpeg4", "-q:v", "2", "-g", "7"]),
    ("a.avi", ["-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p"]),
    ("a.ts", SHORT_GOPS),
    ("a.flv", SHORT_GOPS),
    ("a.wmv", ["-c:v", "wmv2", "-q:v", "2", "-g", "7"]),
    ("a.ogg", ["-c:v", "libtheora", "-q:v", "9", "-g", "7"]),
    ("a.gif", ["-vf", PALETTE]),
]


def _clip(path: Path, num_frames: int = 9, height: int = 32, width: int = 32) -> Clip:
    return read_clip(path, num_frames=num_frames, height=height, width=width)


@pytest.mark.parametrize(("name", "options"), CONTAINERS)
def test_frames_are_sampled_uniformly_from_every_container(
    tmp_path: Path, name: str, options: list[str]
) -> None:
    clip = _clip(numbered_video(tmp_path / name, *options, count=60), 8)
    assert clip.frames.shape == (8, 32, 32, 3)
    assert clip.frames.dtype == np.uint8
    assert numbers_of(clip.frames) == nearest_on_grid(range(60), 8)
    assert (clip.repeated_frames, clip.truncated) == (0, False)


def test_a_program_stream_is_sampled_by_the_times_it_states(tmp_path: Path) -> None:
    path = numbered_video(tmp_path / "a.mpg", "-c:v", "mpeg2video", "-q:v", "2", count=60)
    times = [*range(45), *range(46, 61)]  # ffmpeg's muxer leaves a gap where its buffer fills
    assert numbers_of(_clip(path, 8).frames) == nearest_on_grid(times, 8)


@pytest.mark.parametrize("num_frames", [2, 5, 59, 60])
def test_first_and_last_frame_are_always_shown(tmp_path: Path, num_frames: int) -> None:
    clip = _clip(numbered_video(tmp_path / "a.mp4", *SHORT_GOPS, count=60), num_frames)
    assert numbers_of(clip.frames) == nearest_on_grid(range(60), num_frames)
    assert numbers_of(clip.frames)[-1] == 59


def test_a_long_transport_stream_is_sampled_as_exactly_as_it_is_walked(tmp_path: Path) -> None:
    path = numbered_video(tmp_path / "a.ts", *SHORT_GOPS, count=60, fps=3)
    assert numbers_of(_clip(path, 5).frames) == nearest_on_grid(range(60), 5)


def test_only_the_needed_groups_of_pictures_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = moving_pattern(tmp_path / "a.mp4", "64x64", 20, 30, *H264, "-g", "30")
    packets = []
    decode = sampling.decode
    monkeypatch.setattr(sampling, "decode", lambda packet: packets.append(packet) or decode(packet))
    _clip(path, 3)
    assert 3 <= len(packets) < 120  # of 600: three groups of 30 and what the threads read ahead


def test_one_frame_is_repeated_and_counted(tmp_path: Path) -> None:
    clip = _clip(numbered_video(tmp_path / "a.mp4", count=1), 5)
    assert numbers_of(clip.frames) == [0, 0, 0, 0, 0]
    assert (clip.repeated_frames, clip.truncated) == (4, False)


def test_a_shorter_video_repeats_its_last_frame(tmp_path: Path) -> None:
    clip = _clip(numbered_video(tmp_path / "a.mp4", count=4), 6)
    assert numbers_of(clip.frames) == [0, 1, 2, 3, 3, 3]
    assert clip.repeated_frames == 2


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_variable_frame_rate_is_sampled_by_time(tmp_path: Path, name: str) -> None:
    slow_end = "settb=1/30,setpts='if(lt(N,20),N,20+(N-20)*10)'"
    options = ["-vf", slow_end, "-fps_mode", "passthrough", *H264]
    path = numbered_video(tmp_path / name, *options, count=30)
    times = [*range(20), *range(20, 120, 10)]
    assert numbers_of(_clip(path, 8).frames) == nearest_on_grid(times, 8)


def test_a_trimmed_video_shows_only_what_its_edit_list_keeps(tmp_path: Path) -> None:
    path = numbered_video(tmp_path / "a.mp4", *H264, "-g", "60", "-bf", "0", count=60)
    ffmpeg("-ss", "0.5", "-i", str(path), "-c", "copy", str(tmp_path / "b.mp4"))
    clip = _clip(tmp_path / "b.mp4", 10)
    assert numbers_of(clip.frames) == [15 + at for at in nearest_on_grid(range(45), 10)]
    assert not clip.truncated


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", [*H264, "-movflags", "+faststart"]),
        ("a.mkv", H264),
        ("a.webm", ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"]),
        ("a.avi", ["-c:v", "mpeg4"]),
    ],
)
def test_half_a_file_gives_what_decodes_and_says_so(
    tmp_path: Path, name: str, options: list[str]
) -> None:
    path = moving_pattern(tmp_path / name, "160x120", 2, 30, *options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    clip = _clip(path)
    assert clip.truncated
    assert clip.frames[0].std() > 20  # the pattern, not emptiness


def test_a_longer_sound_track_is_no_truncation(tmp_path: Path) -> None:
    silent = numbered_video(tmp_path / "a.mp4", count=15)
    sound = ["-f", "lavfi", "-i", "sine=d=3"]
    ffmpeg("-i", str(silent), *sound, "-c:v", "copy", str(tmp_path / "b.mkv"))
    assert not _clip(tmp_path / "b.mkv").truncated


def test_rotten_bits_do_no_harm(tmp_path: Path) -> None:
    path = moving_pattern(tmp_path / "a.mp4", "160x120", 2, 30, *H264)
    data = bytearray(path.read_bytes())
    generator = np.random.default_rng(0)
    for position in generator.integers(data.index(b"mdat") + 10_000, data.index(b"moov") - 4, 60):
        data[position] ^= 0xFF
    path.write_bytes(data)
    clip = _clip(path)
    assert clip.frames[0].std() > 20
    assert clip.frames.shape == (9, 32, 32, 3)


def test_frames_larger_than_the_header_says_are_not_decoded(tmp_path: Path) -> None:
    path = numbered_video(tmp_path / "a.ts", *H264, count=20)
    large = moving_pattern(tmp_path / "b.ts", "640x480", 1, 30, *H264)
    path.write_bytes(path.read_bytes() + large.read_bytes())
    limits = Limits(max_pixels=64 * 64)
    clip = read_clip(path, num_frames=9, height=32, width=32, limits=limits)
    assert max(numbers_of(clip.frames)) <= 19  # nothing of the pattern
    assert clip.truncated


def _corners(path: Path) -> Path:
    picture = np.zeros((48, 96, 3), np.uint8)
    picture[:24, :48], picture[:24, 48:] = (255, 0, 0), (0, 255, 0)
    picture[24:, :48], picture[24:, 48:] = (0, 0, 255), (255, 255, 255)
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "96x48", "-i", "pipe:0"]
    lossless = ["-c:v", "libx264", "-crf", "1", "-pix_fmt", "yuv444p"]
    ffmpeg(*raw, *lossless, str(path), stdin=picture.tobytes())
    return path


def _colours(frame: NDArray[np.uint8]) -> list[str]:
    height, width, _ = frame.shape
    names = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 1): "white"}
    spots = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return [names[tuple(int(value > 128) for value in frame[spot])] for spot in spots]


@pytest.mark.parametrize(
    ("degrees", "corners"),
    [
        (0, ["red", "green", "blue", "white"]),
        (90, ["green", "white", "red", "blue"]),
        (180, ["white", "blue", "green", "red"]),
        (270, ["blue", "red", "white", "green"]),
    ],
)
def test_rotation_is_applied(tmp_path: Path, degrees: int, corners: list[str]) -> None:
    path = _corners(tmp_path / "a.mp4")
    turned = tmp_path / "b.mp4"
    ffmpeg("-display_rotation", str(degrees), "-i", str(path), "-c", "copy", str(turned))
    upright = degrees in (0, 180)
    height, width = (48, 96) if upright else (96, 48)
    assert _colours(_clip(turned, 1, height, width).frames[0]) == corners


def test_odd_sizes_without_chroma_subsampling_are_read(tmp_path: Path) -> None:
    path = moving_pattern(tmp_path / "a.mp4", "63x37", 0.2, 30, "-pix_fmt", "yuv444p")
    assert _clip(path, 3, 37, 63).frames.shape == (3, 37, 63, 3)


@pytest.mark.parametrize(("height", "width"), [(24, 24), (20, 80), (80, 20), (200, 300)])
def test_any_target_shape_shows_the_centre(tmp_path: Path, height: int, width: int) -> None:
    frame = _clip(_corners(tmp_path / "a.mp4"), 1, height, width).frames[0]
    assert frame.shape == (height, width, 3)
    assert _colours(frame) == ["red", "green", "blue", "white"]


@pytest.mark.parametrize("size", ["4096x2", "2x4096"])
def test_extreme_shapes_cost_no_more_than_their_pixels(tmp_path: Path, size: str) -> None:
    path = moving_pattern(tmp_path / "a.mkv", size, 0.1, 30, "-c:v", "png")
    assert _clip(path, 2, 480, 832).frames.shape == (2, 480, 832, 3)


@pytest.mark.parametrize(
    ("width", "height", "aspect", "box"),
    [
        (96, 48, 1.0, (24, 0, 72, 48)),
        (48, 96, 1.0, (0, 24, 48, 72)),
        (96, 48, 2.0, (0, 0, 96, 48)),
        (96, 48, 4.0, (0, 12, 96, 36)),
    ],
)
def test_the_cover_box_is_central_and_largest(
    width: int, height: int, aspect: float, box: tuple[float, float, float, float]
) -> None:
    assert cover_box(width, height, aspect) == box


def test_pixels_that_are_not_square_are_stretched(tmp_path: Path) -> None:
    path = tmp_path / "b.mp4"
    ffmpeg("-i", str(_corners(tmp_path / "a.mp4")), "-vf", "setsar=1/2", *H264, str(path))
    frame = _clip(path, 1, 48, 48).frames[0]  # 96x48 stored, 48x48 shown: nothing is cropped
    assert frame[2, 2, 0] > 200
    assert frame[2, 44, 1] > 200


@pytest.mark.parametrize(
    ("total", "length", "ends"),
    [
        (4.0, 2.0, [2, 4]),
        (4.004, 2.0, [2, 4.004]),
        (4.19, 2.0, [2, 4.19]),
        (4.3, 2.0, [2, 4, 4.3]),
        (1.0, 2.0, [1]),
        (0.0, 2.0, [0]),
    ],
)
def test_segments_cover_the_whole_video_without_a_scrap_at_the_end(
    total: float, length: float, ends: list[float]
) -> None:
    spans = sampling.segment_spans(total, length)
    assert spans == list(zip([0, *ends[:-1]], ends, strict=True))


def test_a_segment_without_a_frame_of_its_own_shows_the_one_before() -> None:
    assert sampling.times_within([0, 10, 20], 12, 15) == [10]
    assert sampling.times_within([0, 10, 20], 10, 20) == [10]
    assert sampling.times_within([0, 10, 20], 5, 25) == [0, 10, 20]


def test_a_truncated_video_is_cut_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    path = numbered_video(tmp_path / "a.avi", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", fps=10)
    cut = tmp_path / "cut.avi"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    segments = list(read_segments(cut, 1.0, num_frames=5, height=32, width=32))
    assert segments[-1].end < 4
    assert [segment.clip.truncated for segment in segments] == [False] * (len(segments) - 1) + [
        True
    ]
