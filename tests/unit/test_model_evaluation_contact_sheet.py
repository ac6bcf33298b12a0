"""The contact sheet shows every clip it is given room for."""

import numpy as np
import pytest
from PIL import Image

from model.evaluation import save_contact_sheet
from model.evaluation.outcomes import Shot


def shot(color, title="generate", height=64):
    frames = np.full((17, height, 64, 3), color, np.uint8)
    return Shot.of(title, frames, prompt="a red circle moving left", caption="word " * 40)


def opened(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return image.convert("RGB")


def colors(path):
    return {color for _, color in opened(path).getcolors(2**24)}


def test_every_clip_is_on_the_sheet(tmp_path):
    wanted = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    save_contact_sheet([shot(color) for color in wanted], tmp_path / "sheet.png", 9)
    assert {*wanted} <= colors(tmp_path / "sheet.png")
    assert opened(tmp_path / "sheet.png").width > 2 * 5 * 96  # two columns of five stills


def test_a_long_caption_is_wrapped_and_kept_whole(tmp_path):
    for count in (1, 40):
        one = Shot("x", np.zeros((5, 64, 64, 3), np.uint8), {"caption": "word " * count})
        save_contact_sheet([one], tmp_path / f"{count}.png", 9)
    short, long = (opened(tmp_path / f"{count}.png") for count in (1, 40))
    assert short.width == long.width
    assert long.height - short.height == 3 * 18  # 40 words of 5 letters in lines of 65


def test_where_there_is_no_room_every_title_keeps_some(tmp_path):
    shots = [shot((i, 9, 9), "understand") for i in range(100, 130)]
    shots += [shot((i, 99, 9), "generate") for i in range(100, 130)]
    save_contact_sheet(shots, tmp_path / "sheet.png", most=4)
    shown = colors(tmp_path / "sheet.png")
    assert {(100, 9, 9), (101, 9, 9), (100, 99, 9), (101, 99, 9)} <= shown
    assert not {(102, 9, 9), (102, 99, 9)} & shown


def test_frames_keep_their_proportions(tmp_path):
    save_contact_sheet([shot((1, 2, 3), height=32)], tmp_path / "wide.png", 9)
    save_contact_sheet([shot((1, 2, 3), height=64)], tmp_path / "square.png", 9)
    wide, square = (opened(tmp_path / f"{name}.png") for name in ("wide", "square"))
    assert square.height - wide.height == 48


def test_no_clips_are_refused(tmp_path):
    with pytest.raises(ValueError, match="there are no clips to show"):
        save_contact_sheet([], tmp_path / "sheet.png", 9)
