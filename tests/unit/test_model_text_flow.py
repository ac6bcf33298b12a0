"""Captions that move as embeddings: the path, the step and the reading, in closed form."""

import pytest
import torch
from tiny_models import seeded, tiny_transformer

from model.flow import MIN_SIGMA, embedding_step
from model.sampler import JointState, sample_steps
from model.schedule import sigma_grid
from model.text_flow import DiscreteFlow, EmbeddingFlow, text_flow_of

VOCAB, WIDTH, LENGTH = 9, 6, 40
TABLE = torch.randn(VOCAB, WIDTH, generator=seeded(1)) * torch.arange(1, VOCAB + 1)[:, None]
FLOW = EmbeddingFlow(TABLE, LENGTH)
IDS = torch.randint(VOCAB, (2, LENGTH), generator=seeded(2))
NOISE = FLOW.noise(2, seeded(3))
CLOSE = {"atol": 1e-5, "rtol": 0}


def sure(ids):
    return torch.nn.functional.one_hot(ids, VOCAB).float() * 200 - 100


def at(sigma):
    """Return the draft of the path at a noise level."""
    return FLOW.corrupt(IDS, NOISE, torch.full((2,), sigma))


def test_noise_is_standard_normal_and_decided_by_its_generator():
    noise = FLOW.noise(50, seeded())
    assert noise.shape == (50, LENGTH, WIDTH)
    assert abs(noise.mean()) < 5 / noise.numel() ** 0.5
    assert noise.std().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(noise, FLOW.noise(50, seeded()))


def test_every_word_has_the_norm_of_noise_and_its_own_direction():
    clean = FLOW.clean(IDS)
    torch.testing.assert_close(clean.norm(dim=-1), torch.full((2, LENGTH), WIDTH**0.5))
    cosine = torch.nn.functional.cosine_similarity(clean, TABLE[IDS], dim=-1)
    torch.testing.assert_close(cosine, torch.ones(2, LENGTH))


def test_the_path_is_straight_from_word_to_noise():
    torch.testing.assert_close(at(0.0), FLOW.clean(IDS))
    torch.testing.assert_close(at(1.0), NOISE)
    torch.testing.assert_close(at(0.25), 0.75 * FLOW.clean(IDS) + 0.25 * NOISE)


def test_each_sample_of_a_batch_has_its_own_noise_level():
    draft = FLOW.corrupt(IDS, NOISE, torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(draft[0], FLOW.clean(IDS)[0])
    torch.testing.assert_close(draft[1], NOISE[1])


@pytest.mark.parametrize(("sigma", "sigma_next"), [(1.0, 0.9), (0.6, 0.1), (0.06, 0.01)])
def test_an_oracle_stays_on_the_path(sigma, sigma_next):
    moved = FLOW.step(at(sigma), sure(IDS), sigma, sigma_next, seeded())
    torch.testing.assert_close(moved, at(sigma_next), **CLOSE)


def test_a_step_follows_the_mean_of_what_is_predicted():
    rows = FLOW.clean(torch.arange(VOCAB))
    even = torch.zeros(2, LENGTH, VOCAB)
    moved = embedding_step(at(0.5), even, rows, 0.5, 0.3)
    expected = at(0.5) - 0.2 * (at(0.5) - rows.mean(0)) / 0.5
    torch.testing.assert_close(moved, expected, **CLOSE)


def test_a_velocity_is_never_divided_by_less_than_its_bound():
    rows = FLOW.clean(torch.arange(VOCAB))
    draft = FLOW.clean(IDS) + 1.0
    moved = embedding_step(draft, sure(IDS), rows, 0.01, 0.005)
    torch.testing.assert_close(draft - moved, torch.full_like(draft, 0.005 / MIN_SIGMA), **CLOSE)


def test_the_last_step_ends_on_the_most_likely_words():
    logits = torch.randn(2, LENGTH, VOCAB, generator=seeded(4))
    ended = FLOW.step(at(0.1), logits, 0.1, 0.0, seeded())
    assert torch.equal(FLOW.read(ended), logits.argmax(-1))
    torch.testing.assert_close(ended, FLOW.clean(logits.argmax(-1)))


def test_a_finished_draft_reads_as_the_ids_it_was_made_of():
    assert torch.equal(FLOW.read(FLOW.clean(IDS)), IDS)


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_the_sampler_with_an_oracle_returns_the_caption_exactly(count, shift):
    steps = sample_steps(
        JointState(None, NOISE),
        lambda state: (None, sure(IDS)),
        video_sigmas=None,
        text_sigmas=sigma_grid(count, shift),
        generator=seeded(),
        text_flow=FLOW,
    )
    *_, last = steps
    assert torch.equal(last.token_ids, IDS)


def test_the_sampler_shows_the_network_drafts_of_the_level_that_it_names():
    seen = []

    def oracle(state):
        torch.testing.assert_close(state.caption, at(state.text_sigma), **CLOSE)
        seen.append(state.text_sigma)
        return None, sure(IDS)

    grid = sigma_grid(5, 3.0)
    state = JointState(None, NOISE)
    list(
        sample_steps(
            state,
            oracle,
            video_sigmas=None,
            text_sigmas=grid,
            generator=seeded(),
            text_flow=FLOW,
        )
    )
    assert seen == grid[:-1]


def test_the_table_learns_through_the_path():
    table = TABLE.clone().requires_grad_()
    EmbeddingFlow(table, LENGTH).corrupt(IDS, NOISE, torch.full((2,), 0.5)).sum().backward()
    assert table.grad.abs().max() > 0
    # only directions count: a gradient along a row would change its length alone
    assert (table.grad * TABLE).sum(-1).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("discrete_uniform", DiscreteFlow),
        ("discrete_mask", DiscreteFlow),
        ("embedding", EmbeddingFlow),
    ],
)
def test_a_network_s_config_decides_its_flow(name, kind):
    transformer = tiny_transformer(text_flow=name)
    flow = text_flow_of(transformer)
    assert isinstance(flow, kind)
    ids = torch.arange(10)[None]
    assert torch.equal(flow.read(flow.clean(ids)), ids)
    assert flow.noise(3, seeded()).shape[:2] == (3, 10)
