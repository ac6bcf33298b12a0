"""The scores on random weights, and on an oracle that is right by construction."""

from pathlib import Path

import numpy as np
import pytest

from model.evaluation import Wanted, evaluate, generation, understanding
from model.evaluation.checker import observe
from model.evaluation.outcomes import Answer, Measure, Shot, mean_figures, shares_right
from model.evaluation.sampling import Knobs
from model.evaluation.trial import SIDES, Trial
from model.latents import to_uint8
from model.pipeline import Generated
from model.training.moving_shapes import QUESTIONS, Scene, render

FAST = Knobs(num_inference_steps=1, batch_size=4)


class Oracle:
    """Answers from the pixels, and draws what the trial's scenes are."""

    height = width = 64
    num_frames, fps = 17, 8

    def __init__(self) -> None:
        self.scenes: list[Scene] = []

    def understand(self, clips, seeds, instructions=None):
        for i, clip in enumerate(clips):
            seen = observe(clip)
            if instructions:
                name = next(key for key, text in QUESTIONS.items() if text == instructions[i])
                yield getattr(seen, name)
            else:
                yield _caption(seen)

    def generate(self, prompts, seeds, mode="joint"):
        for scene in self.scenes:
            frames = to_uint8(render([scene]))[0].numpy()
            yield Generated(frames, _caption(observe(frames)) if mode == "joint" else None)

    def reconstruct(self, clips):
        yield from clips


def _caption(seen):
    return (
        Scene(seen.color, seen.shape, seen.motion, seen.background, seen.size, ()).caption()
        if seen.is_visible
        else "a shape"
    )


def trial(side="seen", clips=3):
    oracle = Oracle()
    made = Trial(side, range(clips), oracle, oracle)
    oracle.scenes = made.scenes
    return made


def shares(outcomes):
    found = shares_right(o for o in outcomes if isinstance(o, Answer))
    return {score: sides["seen"]["all"] for score, sides in found.items()}


def test_an_oracle_understands_everything_and_the_controls_nothing():
    found = shares(understanding.understand(trial()))
    assert found == {"understand": 1, "understand_shuffled": 0, "understand_no_video": 0}
    assert shares(understanding.understand_larger(trial())) == {"understand_larger": 1}
    assert shares(understanding.instruct(trial())) == {"instruct": 1}


def test_an_oracle_draws_what_is_asked_and_says_what_it_drew():
    outcomes = list(generation.generate(trial()))
    assert shares(outcomes) == {"generate": 1, "joint": 1, "recaption": 1}
    figures = mean_figures(o for o in outcomes if isinstance(o, Measure))["generate"]["seen"]
    assert figures["edge_width"] < 2.5
    assert figures["color_error"] < 12
    assert shares(generation.paraphrase(trial())) == {"paraphrase": 1}
    assert shares(generation.detailed(trial())) == {"detailed": 1}


def test_open_prompts_are_one_text_for_several_seeds():
    tried = trial(clips=8)
    outcomes = list(generation.open_prompts(tried))
    prompts = [o.texts["prompt"] for o in outcomes if isinstance(o, Shot)]
    color = tried.scenes[4].color
    assert prompts == ["a shape"] * 4 + [f"a {color} shape"] * 4
    assert shares(outcomes)["open_joint"] == 1
    different = [o.figures["different"] for o in outcomes if isinstance(o, Measure)]
    assert different == [len({*map(hash_of, tried.scenes[i : i + 4])}) / 4 for i in (0, 4)]


def hash_of(scene):
    return (scene.color, scene.shape, scene.motion, scene.background, scene.size)


def test_a_perfect_autoencoder_loses_nothing():
    figures = mean_figures(generation.reconstruct(trial()))
    assert figures["reconstruct"]["seen"].pop("psnr") == 100
    assert figures["reconstruct"] == figures["rendered"]


def test_a_checkpoint_does_not_drift_from_itself():
    outcomes = list(generation.drift(trial()))
    figures = mean_figures(o for o in outcomes if isinstance(o, Measure))
    assert figures == {"drift": {"seen": {"psnr": 100, "difference": 0}}}
    assert shares(outcomes) == {"video_only": 1, "video_only_base": 1}


def test_scenes_are_of_their_side_and_not_those_of_training():
    for side in SIDES:
        assert {s.is_held_out for s in trial(side, 40).scenes} == {side == "held_out"}


def test_every_score_runs_on_a_real_checkpoint_and_gives_the_same_again(
    tiny_clips_checkpoint: Path,
) -> None:
    wanted = Wanted(clips=1, base=tiny_clips_checkpoint, knobs=FAST)
    seen: list[str] = []
    figures = evaluate(
        tiny_clips_checkpoint, wanted, lambda name, at, of: seen.append(name)
    ).figures
    assert {*seen} == {*wanted.chosen()}
    assert {side for sides in figures["scores"].values() for side in sides} == {*SIDES}
    assert figures["measures"]["drift"]["seen"] == {"psnr": 100, "difference": 0}
    again = evaluate(tiny_clips_checkpoint, Wanted(["understand", "tokens"], clips=1, knobs=FAST))
    for kind, name in (("scores", "understand"), ("measures", "tokens")):
        assert again.figures[kind][name] == figures[kind][name]


@pytest.mark.parametrize(
    ("scores", "words"),
    [(["joint"], "score 'joint': must be one of understand, "), (["drift"], "needs a base")],
)
def test_a_score_that_cannot_be_had_is_refused(scores, words) -> None:
    with pytest.raises(ValueError, match=words):
        Wanted(scores).chosen()


def test_psnr_is_that_of_the_definition():
    dark = np.zeros((1, 2, 2, 3), np.uint8)
    assert generation._psnr(dark, dark + 255) == 0
    assert generation._psnr(dark, dark + 1) == pytest.approx(48.13, abs=0.01)
