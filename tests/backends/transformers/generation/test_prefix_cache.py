"""What is kept of prompts: never beyond its bound, never lost, and always what the same tokens would have made."""

import gc
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from inference.backends.transformers.description import resident_mb
from inference.backends.transformers.generation.kv_cache import KVCache, Shape
from inference.backends.transformers.generation.plan import plan, planned_tokens
from inference.backends.transformers.generation.prefix_cache import CHUNK, Chunk, PrefixCache
from inference.backends.transformers.generation.reading import reading
from inference.backends.transformers.generation.spans import PromptPart

MOST, PLACES = 4096, 8
SCOPES = ("", "a", "b")
SHAPE = Shape(1, 1, 1, torch.float32, "cpu")
CHUNK_BYTES = CHUNK * SHAPE.bytes


@dataclass(eq=False)
class Row:
    """As much of a text as the plan and the cache look at."""

    ids: list[int]
    length: int
    """Tokens at its end."""
    capacity: int
    scope: str = ""
    cached: int = 0
    reused: int = 0
    block: Any = None
    row: int = 0
    decoding: bool = False
    values: list[int] = field(default_factory=list)

    def guess(self) -> list[int]:
        return []

    @property
    def placed(self) -> Any:
        return self.block

    @property
    def kv(self) -> torch.Tensor:
        kept: torch.Tensor = self.block.kv[:, :, self.row]
        return kept


def row(cache: KVCache, ids: Sequence[int], new_tokens: int = 4, scope: str = "") -> Any:
    length = len(ids) + new_tokens
    return Row([*ids], length, cache.capacity(length), scope)


def written(scope: str, ids: Sequence[int]) -> torch.Tensor:
    """What a model writes for these: keys are the ids, and each value depends on the scope and on all ids so far."""
    return torch.tensor([ids, values_of(scope, ids, [])], dtype=torch.float32)[None, :, None, :, None]


def values_of(scope: str, ids: Sequence[int], values: list[int]) -> list[int]:
    """Adds to ``values``, which are those of the first ids."""
    value = values[-1] if values else SCOPES.index(scope)
    for each in ids[len(values) :]:
        value = (value * 31 + each) % 1_000_003
        values.append(value)
    return values


def write(text: Any, start: int, end: int) -> None:
    values = values_of(text.scope, text.ids[:end], text.values)
    text.kv[0, :, 0, start:end, 0] = torch.tensor([text.ids[start:end], values[start:end]], dtype=torch.float32)


def step(cache: KVCache, texts: Sequence[Any], prompt_tokens: int, *, fails: bool = False) -> None:
    """As the generator's."""
    expected = planned_tokens(texts, cache, prompt_tokens)
    this = plan(texts, cache, prompt_tokens)
    assert len(this.ids) == expected <= len(texts) + prompt_tokens
    parts = [span for span in this.spans if isinstance(span, PromptPart)]
    for part in parts:
        write(part.text, part.before, part.end)
    for text in texts:
        if text.decoding:
            write(text, text.cached, text.cached + 1)
    if fails:
        raise MemoryError
    for part in parts:
        cache.note_read(part.text, part.end)
    for text in this.chosen:
        text.decoding, text.cached = True, len(text.ids)
        text.ids.append(len(text.ids) % 7)


def retain(cache: KVCache, texts: Sequence[Any]) -> None:
    for text in cache.texts.difference(texts):
        cache.remove(text)


def chunks(prefixes: PrefixCache) -> Iterator[tuple[str, list[int], Chunk]]:
    """All that are found, each with its scope and all ids to its end."""
    waiting: list[tuple[str, list[int], Chunk]] = [(scope, [], root) for scope, root in prefixes._scopes.items()]
    while waiting:
        scope, ids, chunk = waiting.pop()
        for child in chunk.children.values():
            yield scope, [*ids, *child.ids], child
            waiting.append((scope, [*ids, *child.ids], child))


def check(prefixes: PrefixCache) -> None:
    found = list(chunks(prefixes))
    assert {id(chunk) for *_, chunk in found} == {id(chunk) for chunk in prefixes._used}, "none is lost"
    assert prefixes.figures.bytes == len(found) * CHUNK_BYTES <= prefixes.most_bytes
    for scope, ids, chunk in found:
        assert torch.equal(chunk.kv, written(scope, ids)[:, :, :, -CHUNK:]), "it is that of its ids"


def alive() -> int:
    gc.collect()
    return sum(type(each) is Chunk for each in gc.get_objects())


def test_ten_thousand_requests_with_shared_beginnings_cancels_and_failures() -> None:
    chance, before = random.Random(5), alive()
    cache = KVCache(SHAPE, MOST, 512, 60 * CHUNK_BYTES)
    beginnings = [[chance.randrange(50) for _ in range(chance.choice((20, 70, 130)))] for _ in range(12)]
    running: list[Any] = []
    begun = steps = reused = 0
    while begun < 10_000 or running:
        while begun < 10_000 and len(running) < PLACES and chance.random() < 0.8:
            ids = chance.choice(beginnings)[: chance.choice((None, None, 40))] + [
                chance.randrange(9)
            ] * chance.randrange(40)
            running.append(row(cache, ids or [1], chance.randint(1, 2), chance.choice(SCOPES)))
            begun += 1
        if chance.random() < 0.1 and running:
            running.pop(chance.randrange(len(running)))  # cancelled
        retain(cache, running)
        middle = len(running) // 2 if chance.random() < 0.1 else 0
        if middle:
            with pytest.raises(MemoryError):
                step(cache, running, 64, fails=True)
        for some in (running[:middle], running[middle:]) if middle else (running,):
            step(cache, some, chance.choice((16, 64, 200)))
        ended = [text for text in running if len(text.ids) >= text.length]
        for text in ended:
            assert torch.equal(text.kv[:, :, :, : text.cached], written(text.scope, text.ids[: text.cached]))
            reused += text.reused
        running = [text for text in running if text not in ended]
        assert cache.prefixes.figures.bytes <= cache.prefixes.most_bytes
        steps += 1
        if steps % 500 == 0:
            check(cache.prefixes)
    retain(cache, ())
    check(cache.prefixes)
    figures = cache.prefixes.figures
    assert figures.evicted > 1000
    assert figures.reused_tokens >= reused > 100_000
    assert alive() - before == len(cache.prefixes._used) + len(cache.prefixes._scopes)
    cache.prefixes.clear()
    assert (alive(), cache.tokens) == (before, 0)


def finish(cache: KVCache, texts: Sequence[Any], prompt_tokens: int = 64) -> int:
    """Read these to the end; returns how many tokens of prompts were computed."""
    read = 0
    while unread := [text for text in texts if not text.decoding]:
        read += planned_tokens(unread, cache, prompt_tokens)
        step(cache, unread, prompt_tokens)
    return read


def test_texts_that_come_together_and_begin_equally_are_read_once() -> None:
    cache = KVCache(SHAPE, MOST, 512, 100 * CHUNK_BYTES)
    shared = [*range(5 * CHUNK)]
    texts = [row(cache, [*shared, number, 9]) for number in range(8)]
    assert finish(cache, texts) == len(shared) + 8 * 2
    assert [text.reused for text in texts] == [0] + [len(shared)] * 7
    others = [row(cache, [*shared, number, 9], scope="a") for number in range(2)]
    assert finish(cache, others) == len(shared) + 2 * 2, "of another scope, nothing is used"
    again = row(cache, shared)
    assert finish(cache, [again]) == CHUNK, "the last token is computed"


@pytest.mark.parametrize("chunks_kept", [0, 1, 100])
def test_no_text_waits_for_one_that_does_not_read(chunks_kept: int) -> None:
    """It was cancelled, or failed, or is in the other half; and where nothing is kept, nobody waits."""
    cache = KVCache(SHAPE, MOST, 512, chunks_kept * CHUNK_BYTES)
    shared = [*range(4 * CHUNK)]
    leader, *followers = (row(cache, [*shared, number]) for number in range(4))
    step(cache, [leader, *followers], CHUNK)
    assert leader.block is not None
    if chunks_kept:
        assert reading([leader, *followers], cache.prefixes, 1000)[0][0] is leader
        assert len(reading([leader, *followers], cache.prefixes, 1000)) == 1
    else:
        assert len(reading([leader, *followers], cache.prefixes, 1000)) == 4
    retain(cache, followers)
    finish(cache, followers)
    assert all(text.decoding for text in followers)


def test_a_chat_goes_on_with_what_its_answer_left() -> None:
    cache = KVCache(SHAPE, MOST, 512, 100 * CHUNK_BYTES)
    first = row(cache, range(CHUNK), 2 * CHUNK + 2)
    while len(first.ids) < first.length:
        step(cache, [first], 64)
    retain(cache, ())
    second = row(cache, [*first.ids, 5, 6])
    assert finish(cache, [second]) == len(second.ids) - 1 - 3 * CHUNK


def test_a_prompt_that_is_larger_than_the_cache_keeps_its_beginning() -> None:
    cache = KVCache(SHAPE, MOST, 512, 4 * CHUNK_BYTES)
    finish(cache, [row(cache, [9] * CHUNK)])
    finish(cache, [row(cache, range(8 * CHUNK))])
    check(cache.prefixes)
    assert cache.prefixes.known("", range(8 * CHUNK)) == 4 * CHUNK
    assert cache.prefixes.figures.evicted == 1


def test_what_was_used_last_stays() -> None:
    cache = KVCache(SHAPE, MOST, 512, 4 * CHUNK_BYTES)
    old, new = [1] * 2 * CHUNK, [2] * 2 * CHUNK
    for ids in (old, new, [*old, 1], [3] * CHUNK):
        finish(cache, [row(cache, ids)])
    known = [cache.prefixes.known("", [*ids, 0]) for ids in (old, new, [3] * CHUNK)]
    assert known == [2 * CHUNK, CHUNK, CHUNK], "the end of the other went"


def test_short_prompts_overtake_long_ones_which_go_on_all_the_same() -> None:
    cache = KVCache(SHAPE, 1 << 16, 4000, 0)
    long = row(cache, range(1000))
    for number in range(100):
        short = row(cache, [number] * 60)
        read = dict(reading([long, short], cache.prefixes, 64))
        if long.decoding:
            break
        assert read[long] >= 16 or read[long] == len(long.ids) - long.cached
        step(cache, [long, short], 64)
        step(cache, [long, short], 64)
        assert short.decoding
        retain(cache, [long])
    assert long.decoding


def test_without_memory_for_it_texts_go_on(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    cache = KVCache(SHAPE, MOST, 512, 100 * CHUNK_BYTES)
    finish(cache, [row(cache, [7] * 3 * CHUNK)])

    def none(*_: Any) -> Any:
        raise OSError("Cannot allocate memory")

    monkeypatch.setattr("inference.backends.transformers.generation.prefix_cache.zeros", none)
    text = row(cache, range(3 * CHUNK))
    finish(cache, [text])
    assert text.decoding
    assert cache.prefixes.figures.bytes == 0
    assert "There is no memory for the prefix cache" in caplog.text


def test_memory_comes_back() -> None:
    shape = Shape(8, 4, 64, torch.float32, "cpu")
    prefixes = PrefixCache(shape, 64 << 20)
    before = resident_mb()
    for number in range(3):
        prefixes.keep("", [number] * 4000, torch.ones(8, 2, 4, 4000, 64))
    assert 58 < resident_mb() - before < 74
    prefixes.clear()
    assert resident_mb() - before < 8
