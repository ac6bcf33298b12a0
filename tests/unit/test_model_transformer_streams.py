"""How the video and the caption stream depend on each other, and where they must not."""

import pytest
import torch
from tiny_models import inputs, tiny_transformer, without_caption

CLOSE = {"atol": 1e-5, "rtol": 0}


@pytest.fixture(scope="module")
def transformer():
    return tiny_transformer()


@pytest.fixture
def arguments(transformer):
    return inputs(transformer)


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


def other_ids(arguments):
    return arguments | {"caption_ids": (arguments["caption_ids"] + 1) % 66}


def flags(*values):
    return {"isolate_video": torch.tensor(values)}


def streams(transformer, arguments):
    """Return the video and the text stream that enter the first block."""
    seen = []
    hook = transformer.blocks[0].register_forward_pre_hook(lambda _, args: seen.append(args[:2]))
    transformer(**arguments)
    hook.remove()
    return seen[0]


def test_outputs_are_reachable_by_index(transformer, arguments):
    output = transformer(**arguments)
    assert output[0].shape == arguments["hidden_states"].shape
    assert output[1].shape == (2, 10, 66)


def test_without_captions_there_are_no_logits(transformer, arguments):
    assert transformer(**without_caption(arguments))[1] is None


def test_joint_video_depends_on_the_caption_draft(transformer, arguments):
    one, two = transformer(**arguments)[0], transformer(**other_ids(arguments))[0]
    assert (one - two).abs().amax(dim=(1, 2, 3, 4)).min() > 1e-3


def test_caption_depends_on_the_video(transformer, arguments):
    other = arguments | {"hidden_states": -arguments["hidden_states"]}
    assert (transformer(**arguments)[1] - transformer(**other)[1]).abs().max() > 1e-3


def test_both_streams_depend_on_the_condition(transformer, arguments):
    other = arguments | {"encoder_hidden_states": -arguments["encoder_hidden_states"]}
    for one, two in zip(transformer(**arguments), transformer(**other), strict=True):
        assert (one - two).abs().max() > 1e-3


def test_another_caption_timestep_leaves_the_video_modulation_alone(transformer, arguments):
    other = arguments | {"caption_timestep": arguments["caption_timestep"] / 2}
    video, text = streams(transformer, arguments)
    other_video, other_text = streams(transformer, other)
    assert torch.equal(video.modulation, other_video.modulation)
    assert torch.equal(video.temb, other_video.temb)
    assert not torch.equal(text.modulation, other_text.modulation)
    assert not torch.equal(text.temb, other_text.temb)


def test_another_video_timestep_leaves_the_caption_modulation_alone(transformer, arguments):
    other = arguments | {"timestep": arguments["timestep"] / 2}
    video, text = streams(transformer, arguments)
    other_video, other_text = streams(transformer, other)
    assert torch.equal(text.modulation, other_text.modulation)
    assert not torch.equal(video.modulation, other_video.modulation)


def test_caption_embeds_stand_in_for_ids(transformer, arguments):
    embeds = transformer.caption_embedding(arguments["caption_ids"])
    others = {k: v for k, v in arguments.items() if k != "caption_ids"}
    for by_ids, by_embeds in zip(
        transformer(**arguments), transformer(**others, caption_embeds=embeds), strict=True
    ):
        assert torch.equal(by_ids, by_embeds)


def test_caption_order_matters(transformer, arguments):
    ids = arguments["caption_ids"]
    flipped = transformer(**(arguments | {"caption_ids": ids.flip(1)}))[1].flip(1)
    assert (transformer(**arguments)[1] - flipped).abs().max() > 1e-3


def test_a_masked_caption_key_is_seen_by_nobody(transformer, arguments):
    mask = torch.ones(2, 10, dtype=torch.bool)
    mask[:, 7:] = False
    ids = arguments["caption_ids"].clone()
    ids[:, 7:] = (ids[:, 7:] + 1) % 66
    one = transformer(**arguments, caption_mask=mask)
    two = transformer(**(arguments | {"caption_ids": ids}), caption_mask=mask)
    torch.testing.assert_close(one[0], two[0], **CLOSE)
    torch.testing.assert_close(one[1][:, :7], two[1][:, :7], **CLOSE)


def test_dropping_masked_captions_equals_masking_them(transformer, arguments):
    mask = torch.ones(2, 10, dtype=torch.bool)
    mask[:, 6:] = False
    short = arguments | {"caption_ids": arguments["caption_ids"][:, :6]}
    masked = transformer(**arguments, caption_mask=mask)
    dropped = transformer(**short)
    torch.testing.assert_close(masked[0], dropped[0], **CLOSE)
    torch.testing.assert_close(masked[1][:, :6], dropped[1], **CLOSE)


def test_a_mask_that_hides_nothing_changes_nothing(transformer, arguments):
    everything = torch.ones(2, 10, dtype=torch.bool)
    for masked, free in zip(
        transformer(**arguments, caption_mask=everything), transformer(**arguments), strict=True
    ):
        torch.testing.assert_close(masked, free, **CLOSE)


def test_isolated_video_ignores_the_caption_and_the_condition(transformer, arguments):
    other = other_ids(arguments)
    other["encoder_hidden_states"] = -arguments["encoder_hidden_states"]
    other["caption_timestep"] = arguments["caption_timestep"] / 2
    one = transformer(**arguments, **flags(True, True))[0]
    assert torch.equal(one, transformer(**other, **flags(True, True))[0])


def test_isolated_video_equals_video_alone_on_the_null_condition(transformer, arguments):
    alone = without_caption(arguments)
    alone["encoder_hidden_states"] = torch.zeros_like(alone["encoder_hidden_states"])
    isolated = transformer(**arguments, **flags(True, True))[0]
    torch.testing.assert_close(isolated, transformer(**alone)[0], **CLOSE)


def test_isolated_caption_still_reads_video_and_condition(transformer, arguments):
    one = transformer(**arguments, **flags(True, True))[1]
    for name in ("hidden_states", "encoder_hidden_states"):
        other = arguments | {name: -arguments[name]}
        assert (one - transformer(**other, **flags(True, True))[1]).abs().max() > 1e-3


def test_flags_that_are_all_false_change_nothing(transformer, arguments):
    mask = torch.ones(2, 10, dtype=torch.bool)
    mask[:, 7:] = False
    for masked in ({}, {"caption_mask": mask}):
        flagged = transformer(**arguments, **masked, **flags(False, False))
        for one, two in zip(flagged, transformer(**arguments, **masked), strict=True):
            torch.testing.assert_close(one, two, **CLOSE)


def test_a_batch_of_mixed_isolation_equals_its_rows(transformer):
    arguments = inputs(transformer, batch=4)
    isolate = torch.tensor([True, False, True, False])
    mask = torch.ones(4, 10, dtype=torch.bool)
    mask[1, 6:] = mask[2, 3:] = False
    together = transformer(**arguments, caption_mask=mask, isolate_video=isolate)
    for row in range(4):
        one = slice(row, row + 1)
        alone = transformer(
            **{name: value[one] for name, value in arguments.items()},
            caption_mask=mask[one],
            isolate_video=isolate[one],
        )
        for batched, single in zip(together, alone, strict=True):
            torch.testing.assert_close(batched[one], single, **CLOSE)


def test_cached_video_gives_the_logits_of_the_isolated_forward(transformer, arguments):
    expected = transformer(**arguments, **flags(True, True))[1]
    cache = transformer.cache_video(
        arguments["hidden_states"], arguments["timestep"], arguments["encoder_hidden_states"]
    )
    condition = transformer.prepare_condition(arguments["encoder_hidden_states"])
    logits = transformer.denoise_text(
        [cache], [condition], arguments["caption_ids"], arguments["caption_timestep"]
    )
    torch.testing.assert_close(logits, expected, **CLOSE)


def test_empty_prompt_null_is_what_isolated_video_reads():
    transformer = tiny_transformer(null_condition="empty_prompt")
    arguments = inputs(transformer)
    empty = torch.randn(1, 12, 16, generator=torch.Generator().manual_seed(5))
    transformer.empty_prompt_embeds = empty
    alone = without_caption(arguments) | {"encoder_hidden_states": empty.expand(2, -1, -1)}
    isolated = transformer(**arguments, **flags(True, True))[0]
    torch.testing.assert_close(isolated, transformer(**alone)[0], **CLOSE)


def test_empty_prompt_null_without_its_states_is_refused():
    transformer = tiny_transformer(null_condition="empty_prompt")
    with pytest.raises(ValueError, match="set empty_prompt_embeds first"):
        transformer(**inputs(transformer), **flags(True, True))


def test_mask_source_has_one_more_id_than_the_caption_has():
    transformer = tiny_transformer(text_flow="discrete_mask")
    arguments = inputs(transformer)
    masked = torch.full_like(arguments["caption_ids"], 66)
    assert transformer(**(arguments | {"caption_ids": masked}))[1].shape == (2, 10, 66)
