"""A media library: clips in ten containers, each with content of its own, and broken files."""

import subprocess

import imageio_ffmpeg

#: suffix -> options of ffmpeg
CONTAINERS = {
    "mp4": ["-c:v", "libx264", "-pix_fmt", "yuv420p"],
    "mov": ["-c:v", "libx264", "-pix_fmt", "yuv420p"],
    "mkv": ["-c:v", "libx264", "-pix_fmt", "yuv420p"],
    "webm": ["-c:v", "libvpx", "-deadline", "realtime"],
    "avi": ["-c:v", "mpeg4"],
    "gif": [],
    "ts": ["-c:v", "mpeg2video", "-f", "mpegts"],
    "flv": ["-c:v", "flv"],
    "wmv": ["-c:v", "wmv2"],
    "ogv": ["-c:v", "libtheora"],
}
#: broken files among so many
_BROKEN_EVERY = 11


def make_library(folder, size):
    """Write `size` files in a tree; return the paths of the good ones and of the broken ones."""
    clips = {suffix: _clip(folder / f"seed.{suffix}") for suffix in CONTAINERS}
    good, broken = [], []
    for number in range(size):
        suffix = [*clips][number % len(clips)]
        path = folder / "library" / f"year {number % 7}" / f"clip {number:04}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        # trailing bytes harm no reader, and make each content one of its own
        content = clips[suffix] + f"{number:08}".encode()
        is_broken = number % _BROKEN_EVERY == _BROKEN_EVERY // 2
        (broken if is_broken else good).append(path)
        path.write_bytes(_break(content, number // _BROKEN_EVERY) if is_broken else content)
    return good, broken


def _clip(path):
    source = ["-f", "lavfi", "-i", "testsrc2=s=64x64:r=8:d=1"]
    binary = imageio_ffmpeg.get_ffmpeg_exe()
    command = [binary, "-y", "-loglevel", "error", *source, *CONTAINERS[path.suffix[1:]], str(path)]
    subprocess.run(command, check=True, timeout=60, stdin=subprocess.DEVNULL)
    return path.read_bytes()


def _break(content, way):
    ways = [b"", b"not a video at all, number %d" % way, content[:40], bytes(len(content))]
    return ways[way % len(ways)]
