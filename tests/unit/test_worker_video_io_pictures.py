"""Clips that come as single pictures."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from video_files import numbered_frames, numbers_of

from worker.video_io import Clip, Limits, VideoError, read_clip_in_child, read_segments_in_child

pytestmark = pytest.mark.timeout(60)


def packed(path: Path, *pictures: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for at, picture in enumerate(pictures):
            archive.writestr(f"{at:06}", picture)
    return path


def encoded(frame: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, kind, **options)
    return file.getvalue()


def read(path: Path, limits: Limits | None = None) -> Clip:
    return read_clip_in_child(
        path, num_frames=5, height=32, width=32, directory=path.parent, limits=limits
    )


def refusal(path: Path, limits: Limits | None = None) -> VideoError:
    with pytest.raises(VideoError) as caught:
        read(path, limits)
    return caught.value


def test_pictures_are_sampled_like_the_frames_of_a_video(tmp_path: Path) -> None:
    kinds = ["PNG", "JPEG", "WEBP", "BMP"]
    pictures = [encoded(frame, kinds[at % 4]) for at, frame in enumerate(numbered_frames(13))]
    clip = read(packed(tmp_path / "a", *pictures))
    assert numbers_of(clip.frames) == [0, 3, 6, 9, 12]
    assert (clip.repeated_frames, clip.info.frame_count, clip.info.duration_seconds) == (0, 13, 0)


def test_a_single_picture_is_a_clip_that_stands_still(tmp_path: Path) -> None:
    clip = read(packed(tmp_path / "a", encoded(numbered_frames(3)[2])))
    assert numbers_of(clip.frames) == [2] * 5
    assert clip.repeated_frames == 4


def test_pictures_of_any_shape_and_colour_are_brought_to_size(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("LA", (300, 20), (128, 0)).save(file, "PNG")
    wide = np.full((10, 90, 3), 200, np.uint8)
    clip = read(packed(tmp_path / "a", file.getvalue(), encoded(wide)))
    assert [int(frame.mean()) for frame in clip.frames[:2]] == [128, 200]


def test_a_picture_that_says_it_lies_on_its_side_is_turned(tmp_path: Path) -> None:
    frame = np.zeros((32, 32, 3), np.uint8)
    frame[:, :16] = 255  # white on the left; turned clockwise, on top
    exif = Image.Exif()
    exif[0x0112] = 6
    clip = read(packed(tmp_path / "a", encoded(frame, "JPEG", exif=exif)))
    assert (clip.frames[0][:14].mean(), clip.frames[0][18:].mean()) == pytest.approx(
        (255, 0), abs=9
    )


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"no picture", "invalid_image"), (encoded(numbered_frames(1)[0])[:60], "invalid_image")],
)
def test_what_is_no_picture_is_refused_by_its_number(
    tmp_path: Path, data: bytes, code: str
) -> None:
    error = refusal(packed(tmp_path / "a", encoded(numbered_frames(1)[0]), data))
    assert (error.code, "picture 1" in str(error)) == (code, True)


def test_a_picture_over_the_limit_is_not_decoded(tmp_path: Path) -> None:
    path = packed(tmp_path / "a", encoded(numbered_frames(1)[0]))
    error = refusal(path, Limits(max_pixels=64 * 64 - 1))
    assert (error.code, "4096 pixels, the limit is 4095" in str(error)) == ("video_too_large", True)


def test_a_compressed_archive_is_not_unpacked(tmp_path: Path) -> None:
    path = packed(tmp_path / "a", bytes(10**6), compression=zipfile.ZIP_DEFLATED)
    assert refusal(path).code == "invalid_image"


def test_an_archive_that_breaks_off_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "a", encoded(numbered_frames(1)[0]))
    path.write_bytes(path.read_bytes()[:50])
    assert refusal(path).code == "invalid_image"


def test_pictures_have_no_times_to_cut_at(tmp_path: Path) -> None:
    path = packed(tmp_path / "a", encoded(numbered_frames(1)[0]))
    with pytest.raises(VideoError, match="no times"):
        read_segments_in_child(path, 2, num_frames=5, height=32, width=32, directory=tmp_path)
