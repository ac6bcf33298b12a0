"""A picture of clips with their words, to see at a glance what figures cannot say."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from model.evaluation.outcomes import Shot

#: pixels
_STILL_WIDTH, _GAP, _MARGIN = 96, 4, 20
_TITLE_SIZE, _TEXT_SIZE = 13, 14
_COLUMNS = 2
_PAPER, _INK, _FAINT = "white", "#202020", "#808080"
#: letters of the text size that fit below one still
_LETTERS_PER_STILL = 13


def save_contact_sheet(shots: Sequence[Shot], path: Path, most: int) -> None:
    """Write a PNG with a few frames of clips and their texts below them.

    Args:
        shots: the clips.
        path: of the PNG.
        most: how many are shown at most, as evenly from all titles as there are.

    Raises:
        ValueError: if there are no clips to show.
        OSError: if the file cannot be written.
    """
    if not shots:
        raise ValueError("contact sheet: there are no clips to show in these scores")
    cells = [_cell(shot) for shot in _chosen(shots, most)]
    width = max(cell.width for cell in cells) + _MARGIN
    rows = [cells[i : i + _COLUMNS] for i in range(0, len(cells), _COLUMNS)]
    heights = [max(cell.height for cell in row) + _MARGIN for row in rows]
    columns = min(_COLUMNS, len(cells))
    sheet = Image.new("RGB", (columns * width + _MARGIN, sum(heights) + _MARGIN), _PAPER)
    for row, cells_of_row in enumerate(rows):
        for column, cell in enumerate(cells_of_row):
            sheet.paste(cell, (_MARGIN + column * width, _MARGIN + sum(heights[:row])))
    sheet.save(path, format="PNG")


def _chosen(shots: Sequence[Shot], most: int) -> list[Shot]:
    by_title: dict[str, list[Shot]] = {}
    for shot in shots:
        by_title.setdefault(shot.title, []).append(shot)
    each = max(1, most // len(by_title))
    return [shot for group in by_title.values() for shot in group[:each]][:most]


def _cell(shot: Shot) -> Image.Image:
    lines = [line for name, text in shot.texts.items() for line in _wrapped(name, text, shot)]
    strip = _strip(shot)
    text_height = len(lines) * (_TEXT_SIZE + _GAP)
    top = _TITLE_SIZE + 2 * _GAP
    cell = Image.new("RGB", (strip.width, top + strip.height + _GAP + text_height), _PAPER)
    draw = ImageDraw.Draw(cell)
    draw.text((0, 0), shot.title, _FAINT, ImageFont.load_default(_TITLE_SIZE))
    cell.paste(strip, (0, top))
    for i, line in enumerate(lines):
        place = (0, top + strip.height + _GAP + i * (_TEXT_SIZE + _GAP))
        draw.text(place, line, _INK, ImageFont.load_default(_TEXT_SIZE))
    return cell


def _strip(shot: Shot) -> Image.Image:
    count, height, width, _ = shot.stills.shape
    size = (_STILL_WIDTH, round(_STILL_WIDTH * height / width))
    strip = Image.new("RGB", (count * (_STILL_WIDTH + _GAP) - _GAP, size[1]), _PAPER)
    for i, still in enumerate(shot.stills):
        image = Image.fromarray(np.ascontiguousarray(still)).resize(size)
        strip.paste(image, (i * (_STILL_WIDTH + _GAP), 0))
    return strip


def _wrapped(name: str, text: str, shot: Shot) -> list[str]:
    return textwrap.wrap(f"{name}: {text}", _LETTERS_PER_STILL * len(shot.stills))
