"""Small runs are trained, kept, resumed and shared; what they became is judged on unseen clips."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.ablations import __main__ as command
from benchmarks.ablations import questions
from benchmarks.ablations.arms import ARMS, RECIPE, SMALL, Leg
from benchmarks.ablations.course import Course
from benchmarks.ablations.kept import digest, kept
from benchmarks.ablations.probes import probe, words_of
from benchmarks.ablations.tables import Comparison
from benchmarks.ablations.world import make_world
from model.evaluation.trial import ATTRIBUTES
from model.training.moving_shapes import Scene
from model.training.stage import STAGES

OPTIONS = {"batch_size": 2, "warmup_steps": 1, "autocast": False, "save_every": 1}
CONFIG = SMALL | {"num_layers": 1}
STEPS = 2


def short(arm):
    """Return an arm whose legs take two steps each."""
    return replace(arm, legs=tuple(replace(leg, num_steps=STEPS) for leg in arm.legs))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"), 4, 2, CONFIG)


@pytest.fixture(scope="module")
def shared_course(world, tmp_path_factory):
    return Course(tmp_path_factory.mktemp("runs"), world, CONFIG, Leg("base", STEPS), OPTIONS)


@pytest.fixture
def course(shared_course, tmp_path):
    return replace(shared_course, folder=tmp_path)


def logs(folder):
    """Return the rows of every run's log, by the run's stage."""
    return {
        path.parent.name.split("-")[0]: path.read_text().splitlines()
        for path in folder.glob("runs/*/log.jsonl")
    }


@pytest.mark.parametrize("name", ARMS)
def test_every_arm_trains_and_is_judged_on_both_sides(shared_course, name):
    figures = probe(shared_course.train(short(ARMS[name]), 0), shared_course.world)
    assert all(math.isfinite(value) for value in figures.values())
    sides = {name.split(", ")[1] for name in figures}
    assert sides == {"seen", "held out"}
    untrained = math.log(CONFIG["caption_vocab_size"])
    assert figures["caption entropy, seen"] == pytest.approx(untrained, abs=0.2)
    assert figures["video error, seen"] > 1


def test_a_finished_run_is_not_trained_again(course):
    arm = short(ARMS[RECIPE])
    first = probe(course.train(arm, 0), course.world)
    again = probe(course.train(arm, 0), course.world)
    assert again == first
    rows = {stage: len(rows) for stage, rows in logs(course.folder).items()}
    assert rows == dict.fromkeys(("base", "recall", "refine"), STEPS)


def test_a_run_that_was_stopped_goes_on_to_the_same_end(course):
    whole = replace(short(ARMS[RECIPE]), legs=(Leg("refine", 3, {"question_share": 0.0}),))
    expected = course.train(whole, 0).state_dict()
    (refined,) = course.folder.glob("runs/refine-*")
    kept_log = (refined / "log.jsonl").read_text().splitlines()
    (refined / "ema.safetensors").unlink()  # as if killed after its last save
    resumed = course.train(whole, 0).state_dict()
    assert all(value.equal(expected[name]) for name, value in resumed.items())
    assert (refined / "log.jsonl").read_text().splitlines() == kept_log


def test_arms_share_the_legs_that_they_have_in_common(course):
    for name in (RECIPE, "refine_dropout_0.8", "embedding"):
        course.train(short(ARMS[name]), 0)
    stages = sorted(path.name.split("-")[0] for path in course.folder.glob("runs/*"))
    assert stages == ["base", *["recall"] * 2, *["refine"] * 3]


def test_seeds_make_different_networks(course):
    arm = replace(short(ARMS[RECIPE]), legs=())
    one, other = course.train(arm, 0), course.train(arm, 1)
    assert not one.proj_out.weight.equal(other.proj_out.weight)


def test_experts_start_as_copies_only_where_asked(course):
    copied = course.train(replace(ARMS[RECIPE], legs=()), 0).blocks[0]
    random = course.train(replace(ARMS["random_experts"], legs=()), 0).blocks[0]
    weights = [block.ffn.net[2].weight for block in (copied, random)]
    experts = [block.ffn_text.net[2].weight for block in (copied, random)]
    assert experts[0].equal(weights[0])
    assert not experts[1].equal(weights[1])


def test_no_unseen_clip_is_among_those_trained_on(world):
    trained = {(scene, scene.path) for scene in world.scenes}
    for side, trial in world.trials.items():
        assert not trained & {(scene, scene.path) for scene in trial.scenes}
        assert {scene.is_held_out for scene in trial.scenes} == {side == "held_out"}
        assert trial.latents.shape[1:] == world.latents.shape[1:]


def test_what_was_measured_is_read_and_not_measured_again(tmp_path):
    def never():
        raise AssertionError("measured again")

    assert kept(tmp_path, "a", {"steps": 1}, lambda: {"right": 0.5}) == {"right": 0.5}
    assert kept(tmp_path, "a", {"steps": 1}, never) == {"right": 0.5}
    assert kept(tmp_path, "a", {"steps": 2}, lambda: {"right": 0.75}) == {"right": 0.75}


@pytest.mark.parametrize(
    "change", [("condition_dropout", 0.5), ("understand_shift", 2.0), ("pad_weight", 0.2)]
)
def test_another_default_of_a_stage_is_another_run(course, monkeypatch, change):
    before = course.definition(ARMS[RECIPE], 0)
    course.train(replace(short(ARMS[RECIPE]), legs=()), 0)
    monkeypatch.setitem(STAGES, "base", replace(STAGES["base"], **dict([change])))
    assert digest(course.definition(ARMS[RECIPE], 0)) != digest(before)
    course.train(replace(short(ARMS[RECIPE]), legs=()), 0)
    assert len([*course.folder.glob("runs/base-*")]) == 2


def test_a_default_of_every_run_is_part_of_what_is_measured(course):
    assert course.definition(ARMS[RECIPE], 0)["run"]["weight_decay"] > 0


def test_results_are_replaced_whole(tmp_path, monkeypatch):
    path = tmp_path / "ablations.json"
    command.write("experts", Comparison("?", {"recipe": [{"right": 0.5}]}), path)
    before = path.read_text()

    def full(*_, **__):
        raise OSError("no space is left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        command.write("dropout", Comparison("?", {"recipe": [{"right": 1.0}]}), path)
    assert path.read_text() == before


def test_a_measurement_that_failed_leaves_nothing(tmp_path):
    def fail():
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        kept(tmp_path, "a", {}, fail)
    assert kept(tmp_path, "a", {}, lambda: {"right": 1.0}) == {"right": 1.0}


def test_an_unknown_question_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(["stages", "meaning"])
    assert "no question meaning; there are stages, " in capsys.readouterr().err


def test_every_question_names_arms_that_there_are():
    for question in questions.QUESTIONS.values():
        assert len(question.variants) > 1
        if question.trains:
            assert {*question.variants} <= {*ARMS}


def test_the_command_answers_from_training_to_file(tmp_path, monkeypatch, capsys, course):
    arms = {name: short(arm) for name, arm in ARMS.items()}
    monkeypatch.setattr(questions, "ARMS", arms)
    monkeypatch.setattr(questions.Bench, "course", course)
    (tmp_path / "ablations.json").write_text('{"dropout": {}}')
    for _ in range(2):
        command.main(["experts", "--repetitions", "2", "--out", str(tmp_path)])
    written = json.loads((tmp_path / "ablations.json").read_text())
    assert list(written) == ["dropout", "experts"]  # what was known before stays
    found = written["experts"]
    entropy = found["random_experts"]["caption entropy, seen"]
    assert entropy["least"] <= entropy["mean"] <= entropy["most"]
    assert set(found) == {RECIPE, "random_experts"}
    assert len([*tmp_path.glob("results/*.json")]) == 4
    assert "experts copied or at random (2 repetitions)" in capsys.readouterr().out


@pytest.fixture
def hasty_checkpoint(tiny_clips_checkpoint, tmp_path):
    """A tiny checkpoint that makes clips in two steps."""
    folder = tmp_path / "hasty"
    shutil.copytree(tiny_clips_checkpoint, folder)
    index = json.loads((folder / "model_index.json").read_text())
    index["serving"] |= {"num_inference_steps": 2}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def test_a_checkpoint_is_asked_what_needs_no_training(tmp_path, hasty_checkpoint):
    bench = questions.Bench(tmp_path, hasty_checkpoint, clips=1)
    found = {
        name: [bench.answer(name, variant, 0) for variant in question.variants]
        for name, question in questions.QUESTIONS.items()
        if not question.trains
    }
    steps, captions, costs, failures = found.values()
    assert all(0 <= row["all, held out"] <= 1 for row in (*steps, *captions))
    joint, alone, *_ = costs
    assert joint["GFLOP"] > alone["GFLOP"] > 0
    assert joint["weights MB"] > alone["weights MB"]
    assert all(row["peak MB"] > 0 for row in costs)
    assert any(name.startswith("shape ") for name in failures[1])
    assert len([*tmp_path.glob("results/*.json")]) == 3


def test_the_words_of_an_attribute_are_found_in_the_caption():
    scene = Scene("red", "circle", "left", "white", "small", ((0.7, 0.5), (0.3, 0.5)))
    words = scene.caption().split()
    found = {name: " ".join(words[words_of(scene, name)]) for name in ATTRIBUTES}
    assert found.pop("motion") == "moves from right to left across"
    assert found == {name: scene.answer(name) for name in found}
