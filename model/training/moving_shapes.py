"""The Moving Shapes world: scenes, their pixels and their words.

A scene is five attributes plus a position; this module draws it and writes its prompts,
caption, questions and answers. It knows nothing of any network. The scores live in
`model.evaluation`, which shares no code with this renderer.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

COLORS = {
    "red": (220, 40, 40),
    "green": (40, 180, 60),
    "blue": (50, 80, 220),
    "yellow": (235, 215, 50),
    "purple": (150, 60, 190),
    "orange": (240, 140, 30),
    "cyan": (60, 210, 220),
    "pink": (245, 130, 180),
}
BACKGROUNDS = {"black": (10, 10, 10), "white": (245, 245, 245), "gray": (128, 128, 128)}
SHAPES = ("circle", "square", "triangle", "cross")
SIZES = {"small": 0.11, "large": 0.20}  # radius as a fraction of the frame side
MOTIONS = ("left", "right", "up", "down", "still", "growing", "shrinking")

NUM_FRAMES = 17
FPS = 8
SIDE = 64  # pixels

_PATH_LENGTH = (0.34, 0.47)
_CENTRE = (0.34, 0.66)
_DIRECTION = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
_GROWTH = {"growing": (0.5, 1.5), "shrinking": (1.5, 0.5)}
_CAPTION_MOTION = {
    "left": "moves from right to left across",
    "right": "moves from left to right across",
    "up": "rises from bottom to top across",
    "down": "falls from top to bottom across",
    "still": "stays still on",
    "growing": "grows over time on",
    "shrinking": "shrinks over time on",
}
_PROMPT_FORMS = (
    ("a {color} {shape} {motion}", "moving {motion}", "standing still", "{motion}"),
    ("{color} {shape} , {motion}", "moving to the {motion}", "not moving", "{motion} over time"),
    ("a {shape} that is {color} {motion}", "moves {motion}", "stays still", "{verb}"),
    ("the {color} {shape} {motion}", "goes {motion}", "does not move", "is {motion}"),
    ("a video of a {color} {shape} {motion}", "that moves {motion}", "at rest", "that {verb}"),
)
_VERBS = {"growing": "grows", "shrinking": "shrinks"}

QUESTIONS = {
    "color": "what color is the shape ?",
    "shape": "what shape is it ?",
    "motion": "how does it move ?",
    "background": "what is the background ?",
    "size": "is it small or large ?",
}


@dataclass(frozen=True)
class Scene:
    """One clip of the world: what moves, how, on what, and where."""

    color: str
    shape: str
    motion: str
    background: str
    size: str
    #: start and end of the object's centre, fractions of the frame side, y downward
    path: tuple[tuple[float, float], tuple[float, float]] = field(compare=False)

    @property
    def is_held_out(self) -> bool:
        """Whether the combination never appears in training."""
        return is_held_out(self.color, self.shape, self.motion)

    def prompt(self, form: int = 0) -> str:
        """Return the coarse prompt in one of `NUM_PROMPT_FORMS` wordings, 0 the canonical one."""
        frame, moving, still, changing = _PROMPT_FORMS[form]
        phrase = {"still": still, **dict.fromkeys(_VERBS, changing)}.get(self.motion, moving)
        motion = phrase.format(motion=self.motion, verb=_VERBS.get(self.motion, ""))
        return frame.format(color=self.color, shape=self.shape, motion=motion)

    def open_prompt(self, keep: Sequence[str]) -> str:
        """Return the canonical prompt naming only the attributes in `keep`."""
        motion = self.prompt().split(self.shape)[1] if "motion" in keep else ""
        color = f"{self.color} " if "color" in keep else ""
        return f"a {color}{self.shape if 'shape' in keep else 'shape'}{motion}"

    def caption(self) -> str:
        """Return the detailed caption, all five attributes in the fixed wording."""
        return (
            f"a {self.size} {self.color} {self.shape} {_CAPTION_MOTION[self.motion]} "
            f"a plain {self.background} background ."
        )

    def answer(self, attribute: str) -> str:
        """Return the one- or two-word answer to `QUESTIONS[attribute]`."""
        return str(getattr(self, attribute))


NUM_PROMPT_FORMS = len(_PROMPT_FORMS)


def is_held_out(color: str, shape: str, motion: str) -> bool:
    """Return whether a combination belongs to the compositional hold-out."""
    place = list(COLORS).index(color) + SHAPES.index(shape) + MOTIONS.index(motion)
    return place % 10 == 0


def combinations(held_out: bool) -> list[tuple[str, str, str]]:
    """Return every (color, shape, motion) of one side of the hold-out, in listed order."""
    return [c for c in itertools.product(COLORS, SHAPES, MOTIONS) if is_held_out(*c) == held_out]


def sample_scene(rng: random.Random, held_out: bool = False) -> Scene:
    """Draw a scene uniformly from one side of the hold-out."""
    color, shape, motion = rng.choice(combinations(held_out))
    return place_scene(rng, color, shape, motion)


def place_scene(rng: random.Random, color: str, shape: str, motion: str) -> Scene:
    """Draw background, size and path for a given combination."""
    x, y = rng.uniform(*_CENTRE), rng.uniform(*_CENTRE)
    first, second = x, y
    if motion in _DIRECTION:
        first, second = y if _DIRECTION[motion][0] else x, rng.uniform(*_PATH_LENGTH)
    return Scene(
        color=color,
        shape=shape,
        motion=motion,
        background=rng.choice(list(BACKGROUNDS)),
        size=rng.choice(list(SIZES)),
        path=_path(motion, first, second),
    )


def free_numbers(scene: Scene) -> tuple[float, float]:
    """Return all that is free in a scene's path, as fractions of the frame side.

    Where the path runs beside the centre line and how long it is; x and y of one that stays.
    """
    (x0, y0), (x1, y1) = scene.path
    if scene.motion not in _DIRECTION:
        return x0, y0
    return (y0, abs(x1 - x0)) if _DIRECTION[scene.motion][0] else (x0, abs(y1 - y0))


def with_numbers(scene: Scene, first: float, second: float, *, inside: bool = False) -> Scene:
    """Return a scene with another path; see `free_numbers`.

    Args:
        scene: all else.
        first: first number.
        second: second number.
        inside: whether to bring the numbers into the range that `place_scene` draws from.
    """
    if inside:
        first = min(max(first, _CENTRE[0]), _CENTRE[1])
        least, most = _PATH_LENGTH if scene.motion in _DIRECTION else _CENTRE
        second = min(max(second, least), most)
    return replace(scene, path=_path(scene.motion, first, second))


def _path(
    motion: str, first: float, second: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the start and end that two numbers stand for; see `free_numbers`."""
    if motion not in _DIRECTION:
        return (first, second), (first, second)
    dx, dy = _DIRECTION[motion]
    reach = (dx + dy) * second / 2
    start, end = (0.5 - reach, first), (0.5 + reach, first)
    return (start[::-1], end[::-1]) if dy else (start, end)


def render(scenes: Sequence[Scene], side: int = SIDE, num_frames: int = NUM_FRAMES) -> Tensor:
    """Draw clips with one-pixel anti-aliased edges.

    Args:
        scenes: what to draw.
        side: frame height and width in pixels.
        num_frames: frames per clip.

    Returns:
        (N, 3, num_frames, side, side) float32 in [-1, 1].
    """
    return painted(scenes, coverages(scenes, side, num_frames))


def painted(scenes: Sequence[Scene], covered: Tensor) -> Tensor:
    """Return clips like `render`'s of scenes whose `coverages` are known."""
    color = _palette([COLORS[s.color] for s in scenes])
    background = _palette([BACKGROUNDS[s.background] for s in scenes])
    return torch.lerp(background, color, covered[:, None]) / 127.5 - 1


def coverages(scenes: Sequence[Scene], side: int = SIDE, num_frames: int = NUM_FRAMES) -> Tensor:
    """Return how much of every pixel the object covers, (N, F, H, W) float32 in [0, 1].

    Arguments as for `render`.
    """
    path = torch.tensor([s.path for s in scenes])  # [N, 2, 2]
    growth = torch.tensor([_GROWTH.get(s.motion, (1.0, 1.0)) for s in scenes])  # [N, 2]
    radius = torch.tensor([SIZES[s.size] for s in scenes])
    progress = torch.linspace(0, 1, num_frames)
    centre = torch.lerp(path[:, :1], path[:, 1:], progress[:, None])  # [N, F, 2]
    radii = radius[:, None] * torch.lerp(growth[:, :1], growth[:, 1:], progress)  # [N, F]

    pixel = (torch.arange(side) + 0.5) / side
    x = (pixel[None, None, None, :] - centre[..., 0, None, None]).expand(-1, -1, side, -1)
    y = (pixel[None, None, :, None] - centre[..., 1, None, None]).expand(-1, -1, -1, side)
    return torch.stack(
        [
            _coverage(scene.shape, x[i], y[i], radii[i, :, None, None], side)
            for i, scene in enumerate(scenes)
        ]
    )


def _palette(rgb: list[tuple[int, int, int]]) -> Tensor:
    return torch.tensor(rgb, dtype=torch.float32)[:, :, None, None, None]


def _coverage(shape: str, x: Tensor, y: Tensor, r: Tensor, side: int) -> Tensor:
    """Turn the signed distance to the outline into pixel coverage in [0, 1]."""
    if shape == "circle":
        distance = torch.hypot(x, y) - r
    elif shape == "square":
        distance = torch.maximum(x.abs(), y.abs()) - 0.9 * r
    elif shape == "triangle":
        flank = (x.abs() - 0.58 * (y + r)) / (1 + 0.58**2) ** 0.5
        distance = torch.maximum(flank, y - 0.8 * r)
    else:
        upright = torch.maximum(x.abs() - 0.33 * r, y.abs() - r)
        lying = torch.maximum(x.abs() - r, y.abs() - 0.33 * r)
        distance = torch.minimum(upright, lying)
    return (0.5 - distance * side).clamp(0, 1)


def vocabulary() -> list[str]:
    """Return every word the world can say or ask, sorted."""
    return sorted({word for text in _all_texts() for word in text.split()})


def _all_texts() -> Iterator[str]:
    rng = random.Random(0)
    for held_out in (False, True):
        for combination in combinations(held_out):
            scene = place_scene(rng, *combination)
            yield from (scene.prompt(form) for form in range(NUM_PROMPT_FORMS))
            yield scene.caption()
    yield from (*QUESTIONS.values(), "a shape", *BACKGROUNDS, *SIZES)
