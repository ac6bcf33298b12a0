"""How close captions come to references, by the metrics that papers report.

All three see lower-case words without punctuation, as the COCO caption evaluation does, though its
tokenizer is another one; so figures compare within this project, and only roughly with papers.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from torchmetrics.functional.text import bleu_score, rouge_score

_WORD = re.compile(r"\w+(?:['-]\w+)*")
_LONGEST = 4  # words of an n-gram
#: difference in words at which CIDEr-D's penalty has its first deviation
_LENGTH_SIGMA = 6.0

Grams = Counter[tuple[str, ...]]


def score_captions(captions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Compare captions with one reference each.

    Returns:
        `bleu_4` of the corpus in [0, 1], `rouge_l` (mean F1) in [0, 1], and `cider` in [0, 10],
        which is CIDEr-D and weighs words by how rare they are among these very references: it says
        nothing on a handful of clips, and is 0 on one.

    Source: Papineni 2002; Lin 2004; Vedantam 2015, sections 3 and 6.
    """
    said = [" ".join(words(text)) for text in captions]
    meant = [[" ".join(words(text))] for text in references]
    # the library's own normalizer would take every letter beyond ASCII for a space
    rouge = rouge_score(said, meant, rouge_keys="rougeL", normalizer=str, tokenizer=str.split)
    return {
        "bleu_4": float(bleu_score(said, meant, n_gram=_LONGEST)),
        "rouge_l": float(rouge["rougeL_fmeasure"]),
        "cider": cider_d(captions, references),
    }


def words(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return _WORD.findall(text.lower())


def cider_d(captions: Sequence[str], references: Sequence[str]) -> float:
    """Return the mean CIDEr-D, in [0, 10], of captions with one reference each."""
    said, meant = [words(text) for text in captions], [words(text) for text in references]
    scores = [
        _mean_similarity(said, meant, [_grams(text, n) for text in meant], n)
        for n in range(1, _LONGEST + 1)
    ]
    return 10 * fmean(scores)


def _mean_similarity(
    said: list[list[str]], meant: list[list[str]], references: list[Grams], n: int
) -> float:
    clips_with = Counter(gram for reference in references for gram in reference)
    log_clips = math.log(len(references))

    def weigh(grams: Grams) -> dict[tuple[str, ...], float]:
        rarity = {gram: log_clips - math.log(max(1, clips_with[gram])) for gram in grams}
        return {gram: count * rarity[gram] for gram, count in grams.items()}

    return fmean(
        _similarity(weigh(_grams(caption, n)), weigh(reference))
        * math.exp(-((len(caption) - len(text)) ** 2) / (2 * _LENGTH_SIGMA**2))
        for caption, text, reference in zip(said, meant, references, strict=True)
    )


def _similarity(
    caption: dict[tuple[str, ...], float], reference: dict[tuple[str, ...], float]
) -> float:
    """Return the cosine, where saying a word more often than the reference does earns nothing."""
    norm = math.hypot(*caption.values()) * math.hypot(*reference.values())
    shared = (min(value, reference.get(gram, 0.0)) for gram, value in caption.items())
    product = sum(s * reference.get(gram, 0.0) for s, gram in zip(shared, caption, strict=True))
    return product / norm if norm else 0.0


def _grams(text: list[str], n: int) -> Grams:
    return Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1))
