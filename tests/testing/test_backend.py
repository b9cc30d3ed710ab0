from typing import Any

import pytest

from inference.backends.base import BatchedPipeline, Generated, LoadFailed, SteppedPipeline
from inference.conf import Conf
from inference.messaging.messages import Job
from inference.tasks.arrays import Array
from inference.testing.backend import FakeBatchedPipeline, FakeSteppedPipeline, array_of, load, words


def test_without_a_test_it_is_a_backend_like_any_other():
    assert load(Conf(), print).description.task == "fill-mask"
    assert load(Conf(task="ner"), print).description.task == "token-classification"
    with pytest.raises(LoadFailed, match="There is no task 'poetry'"):
        load(Conf(task="poetry"), print)


def test_its_pipelines_are_those_that_a_worker_needs():
    batched: BatchedPipeline | SteppedPipeline = load(Conf(), print)
    stepped: BatchedPipeline | SteppedPipeline = load(Conf(task="text-generation"), print)
    assert not isinstance(batched, SteppedPipeline)
    assert isinstance(stepped, SteppedPipeline)


def test_words_are_counted():
    fake = load(Conf(task="text-classification"), print)
    long = "word " * 600
    asked = [("one two", {}), ({"text": "one", "text_pair": "two three"}, {}), (long, {"truncate": True})]
    prepared = fake.prepare([Job(id=1, request_id="r", input=i, parameters=p, time_left_s=1) for i, p in asked])
    assert [(item.input_tokens, item.truncated) for item in prepared] == [(2, False), (3, False), (512, True)]


def test_tokens_have_bytes_and_others_that_they_might_have_been():
    fake = load(Conf(task="text-generation"), print)
    assert isinstance(fake, FakeSteppedPipeline)
    job = Job(id=1, request_id="r", input="a", parameters={"top_n_tokens": 2}, time_left_s=1, tokens=True)
    [made] = fake.step(fake.prepare([job]))
    assert isinstance(made, Generated)
    assert (made.text, made.data, made.top) == (" and", b" and", ((0, " and", 0.0), (1, " word1", -1.0)))


def test_token_ids_are_a_prompt():
    fake = load(Conf(task="text-generation"), print)
    assert isinstance(fake, FakeSteppedPipeline)
    given = {"token_ids": [5, 17]}
    [text] = fake.prepare([Job(id=1, request_id="r", input=given, parameters={"max_new_tokens": 1}, time_left_s=1)])
    [made] = fake.step([text])
    assert isinstance(made, Generated)
    assert (text.input_tokens, made.output) == (2, b'[{"generated_text":"5 17 and"}]')


def test_vectors_may_be_arrays():
    fake = load(Conf(task="feature-extraction"), print)
    asked: list[dict[str, Any]] = [{}, {"pooling": "mean"}]
    assert isinstance(fake, FakeBatchedPipeline)
    jobs = [Job(id=1, request_id="r", input="a", parameters=p, time_left_s=1, arrays=True) for p in asked]
    whole, pooled = fake.run(fake.prepare(jobs))
    assert isinstance(whole, Array)
    assert isinstance(pooled, Array)
    assert (whole.shape, whole.tolist()) == ((1, 1, 3), [[[1.0, 0.0, 0.0]]])
    assert (pooled.shape, pooled.tolist()) == ((3,), [1.0, 0.0, 0.0])
    nested = array_of([[[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], [[6.0, 7.0], [8.0, 9.0], [10.0, 11.0]]])
    assert (nested.shape, nested.tolist()[1][2]) == ((2, 3, 2), [10.0, 11.0])
    labels = load(Conf(task="text-classification"), print)
    assert isinstance(labels, FakeBatchedPipeline)
    assert isinstance(labels.run(labels.prepare(jobs[:1]))[0], bytes), "they are no vectors"


@pytest.mark.parametrize("text", ["", " ", "one", " one two", "one  two\n", "\n one"])
def test_words_joined_are_the_text(text: str):
    assert "".join(words(text)) == text
    assert words(text)
