"""What the cache takes is known beforehand and never more than its bound, whoever joins and leaves."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.backends.transformers.description import resident_mb
from inference.backends.transformers.generation.kv_cache import KVCache, Shape

MOST, LONGEST = 4096, 2500


@dataclass(eq=False)
class Row:
    """As much of a text as the cache looks at."""

    capacity: int
    cached: int = 0
    mark: int = 0
    block: Any = None
    row: int = 0
    scope: str = ""
    ids: tuple[int, ...] = ()
    kv: Any = None

    @property
    def placed(self) -> Any:
        return self.block

    @property
    def kept(self) -> torch.Tensor:
        kept: torch.Tensor = self.block.kv[:, :, self.row]
        return kept


def cache(most: int = MOST, longest: int = LONGEST, size: int = 1) -> KVCache:
    return KVCache(Shape(1, 1, size, torch.float32, "cpu"), most, longest)


def text(made: KVCache, tokens: int) -> Any:
    return Row(made.capacity(tokens))


@settings(deadline=None)
@given(
    st.sampled_from([MOST, LONGEST]),
    st.lists(
        st.one_of(
            st.tuples(st.just("join"), st.integers(1, 250) | st.integers(1, LONGEST)),
            st.tuples(st.just("leave"), st.integers(0)),
        )
    ),
)
def test_memory_is_as_predicted_and_within_the_bound_whatever_joins_and_leaves(
    most: int, steps: list[tuple[str, int]]
) -> None:
    made, texts = cache(most), list[Any]()
    for number, (action, value) in enumerate(steps, 1):
        if action == "join":
            new = text(made, value)
            if made.needed([*texts, new]) > most:
                continue
            made.begin(new)
            assert not new.kept.any(), "nothing of another text"
            new.cached = value
            new.kept[..., :value, :] = new.mark = number
            new.kept[..., value:, :] = float("nan")  # as a step that fails may leave it
            texts.append(new)
        elif texts:
            made.remove(texts.pop(value % len(texts)))
        assert made.tokens == made.needed(texts) <= most
        assert made.texts == set(texts)
        assert len({(id(each.block), each.row) for each in texts}) == len(texts)
        assert all((each.kept[..., : each.cached, :] == each.mark).all() for each in texts), "none is disturbed"


@given(st.integers(1, 3000), st.data())
def test_a_single_text_that_is_not_too_long_always_fits(most: int, data: st.DataObject) -> None:
    longest = data.draw(st.integers(1, most))
    made = cache(most, longest)
    alone = text(made, data.draw(st.integers(1, longest)))
    assert made.needed([alone]) <= most
    made.begin(alone)
    assert made.tokens == made.needed([alone])


def test_a_text_keeps_its_row_from_its_first_token_to_its_last() -> None:
    """Nothing is copied while it grows, so memory is never taken twice."""
    made = cache()
    first, second = text(made, 200), text(made, 130)
    for each in (first, second):
        made.begin(each)
    assert first.block is second.block
    made.remove(first)
    assert (second.row, made.tokens) == (0, made.needed([second]))


@pytest.mark.parametrize("tokens", [8192, 1024])
def test_resident_memory_stays_within_the_bound_and_comes_back(tokens: int) -> None:
    made = cache(8192, 8192, size=1024)
    assert made.most_bytes == 64 << 20
    before = resident_mb()
    texts = [text(made, tokens) for _ in range(8192 // tokens)]
    for each in texts:
        made.begin(each)
    assert resident_mb() - before < 8, "no memory before it is written to"
    for each in texts:
        each.kept[...] = 1
    assert 60 < resident_mb() - before < 72
    for each in texts:
        made.remove(each)
    del texts, each
    assert resident_mb() - before < 8
