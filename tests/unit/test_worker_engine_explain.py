import pytest
import torch

from model import PromptTooLong
from worker.engine.explain import explain


def refused_allocation():
    try:
        torch.empty(2**60, dtype=torch.uint8)
    except RuntimeError as error:
        return error
    raise AssertionError("this machine has an exbibyte of memory")


@pytest.mark.parametrize(
    "make", [lambda: torch.OutOfMemoryError("CUDA"), MemoryError, refused_allocation]
)
def test_lack_of_memory_has_a_code_of_its_own(make):
    assert explain(make()).code == "out_of_memory"


def test_prompt_over_the_limit_names_its_field():
    failed = explain(PromptTooLong("instruction", 9, 8))
    assert (failed.code, failed.param) == ("prompt_too_long", "instruction")
    assert "9 tokens" in failed.message


def test_refusal_of_the_model_keeps_its_words():
    failed = explain(ValueError("height 7: must be a multiple of 8"))
    assert (failed.code, failed.message) == (
        "invalid_request",
        "height 7: must be a multiple of 8",
    )


def test_defect_says_nothing_of_our_insides():
    failed = explain(RuntimeError("/secret/path"))
    assert failed.code == "internal_error"
    assert "secret" not in failed.message
