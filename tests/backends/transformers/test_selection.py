"""Results are those of ``pipe(x, **parameters)``, each input for itself, whichever way a pipeline is run."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from inference.backends.base import BatchedPipeline
from inference.conf import BUNDLED_MODEL
from inference.errors import Invalid
from tests import processes
from tests.backends.transformers.running import Asked, Make, assert_equal, direct, load, plain, run
from tests.conftest import CLIENT_S, client
from tests.processes import Redis, Web

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

TOO_LONG = "stone " * 100


@pytest.fixture(scope="module")
def bundled() -> BatchedPipeline:
    return load(BUNDLED_MODEL)


# Results


LABELS = {"candidate_labels": ["a boat", "a town", "winter"]}
PARAMETERS: dict[str, list[dict[str, Any]]] = {
    "text_classification": [{}, {"top_k": 1}, {"top_k": 2}, {"top_k": 9}, {"function_to_apply": "sigmoid"}],
    "token_classification": [{}, {"aggregation_strategy": "simple"}, {"aggregation_strategy": "max"}],
    "feature_extraction": [{}],
    "zero_shot_classification": [
        LABELS,
        {"candidate_labels": ["one"]},
        LABELS | {"multi_label": True},
        LABELS | {"hypothesis_template": "It is about {}."},
    ],
    "fill_mask": [{}, {"top_k": 3}, {"targets": ["bread", "salt"]}],
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_mixed_batch_equals_one_call_each(
    models: Any, folder_of: Callable[[Make], Path], make_texts: Callable[..., list[str]], name: str
) -> None:
    """Lengths and parameters differ within the batch, so it is padded; nothing of that shows."""
    kinds = PARAMETERS[name]
    folder = folder_of(getattr(models, name))
    task = name.replace("_", "-")
    texts = make_texts(3 * len(kinds), 1, 30)
    if name != "fill_mask":
        texts = [text.replace("[MASK]", "stone") for text in texts]
    asked = [(text, kinds[number % len(kinds)]) for number, text in enumerate(texts)]
    pipe = direct(folder, task)

    pipeline = load(folder, task=task)

    assert pipeline.description.task == task
    for answer, (text, parameters) in zip(run(pipeline, asked), asked, strict=True):
        assert_equal(answer, plain(pipe(text, **parameters)), text)


def test_without_company_the_result_is_the_same(
    models: Any, folder_of: Callable[[Make], Path], make_texts: Callable[..., list[str]]
) -> None:
    pipeline = load(folder_of(models.feature_extraction))
    asked: list[Asked] = [(text, {}) for text in make_texts(8, 1, 30)]

    together = run(pipeline, asked)

    for answer, one in zip(together, asked, strict=True):
        assert_equal(answer, run(pipeline, [one])[0])


def test_padding_never_shows(models: Any, folder_of: Callable[[Make], Path]) -> None:
    """A short text beside a long one has as many rows as it has tokens."""
    pipeline = load(folder_of(models.feature_extraction))
    short, long = run(pipeline, [("stone", {}), ("stone " * 40, {})])

    assert [len(short[0]), len(long[0])] == [3, 42]


def test_pooling_is_that_of_the_token_vectors(
    models: Any, folder_of: Callable[[Make], Path], make_texts: Callable[..., list[str]]
) -> None:
    """In a padded batch, so padding must not be pooled."""
    import torch  # noqa: PLC0415

    pipeline = load(folder_of(models.feature_extraction))
    for text in make_texts(6, 1, 30):
        ways: list[dict[str, Any]] = [
            {},
            {"pooling": "mean"},
            {"pooling": "cls"},
            {"pooling": "mean", "normalize": True},
        ]
        tokens, mean, first, unit = run(pipeline, [*((text, way) for way in ways), ("stone " * 30, {})])[:4]

        vectors = torch.tensor(tokens[0])
        assert mean == pytest.approx(vectors.mean(0).tolist(), abs=1e-5)
        assert first == tokens[0][0]
        assert unit == pytest.approx(torch.nn.functional.normalize(vectors.mean(0), dim=0).tolist(), abs=1e-5)


# Fast paths


def test_fill_mask_takes_its_fast_path(bundled: BatchedPipeline) -> None:
    assert type(bundled).__name__ == "FillMask"


def test_a_fast_path_that_differs_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    models: Any,
    folder_of: Callable[[Make], Path],
) -> None:
    """Say, because a new transformers calls the head in another way: slower, but never wrong."""
    from inference.backends.transformers import fill_mask_fast  # noqa: PLC0415

    monkeypatch.setattr(fill_mask_fast.FillMask, "_keep_masks", lambda self, module, inputs, output: output)
    folder = folder_of(models.fill_mask)
    pipeline = load(folder)

    assert type(pipeline).__name__ == "PlainFillMask"
    assert "without its fast path" in caplog.text
    assert_equal(run(pipeline, [("test [MASK]", {})])[0], plain(direct(folder, "fill-mask")("test [MASK]")))


CLASSES: dict[str, Any] = {"id2label": {0: "calm", 1: "glad", 2: "cross"}}


@pytest.mark.parametrize(
    ("family", "kind", "more", "pads"),
    [
        ("Bert", "BertModel", {}, False),
        ("Bert", "BertForMaskedLM", {}, False),
        ("Bert", "BertForSequenceClassification", CLASSES, False),
        ("Bert", "BertForTokenClassification", CLASSES, False),
        ("Roberta", "RobertaForSequenceClassification", CLASSES | {"pad_token_id": 0}, False),
        ("Roberta", "RobertaForMaskedLM", {"pad_token_id": 0}, False),
        ("DistilBert", "DistilBertForSequenceClassification", CLASSES, False),
        ("Electra", "ElectraForTokenClassification", CLASSES, False),
        ("ModernBert", "ModernBertForMaskedLM", {"local_attention": 8, "pad_token_id": 0}, True),
        ("Albert", "AlbertForSequenceClassification", CLASSES, True),
        ("MPNet", "MPNetForMaskedLM", {"pad_token_id": 0}, True),
    ],
)
def test_families_of_encoders_with_and_without_padding(
    models: Any, tmp_path: Path, make_texts: Callable[..., list[str]], family: str, kind: str, more: Any, pads: bool
) -> None:
    """Where sequences cannot lie end to end (a sliding window, a bias by position) the batch is padded. So it is on any
    other device than a CPU.
    """
    folder = models.encoder(tmp_path / "encoder", family, kind, **more)
    pipeline: Any = load(folder)
    task = pipeline.description.task
    pipe = direct(folder, task)
    mask = "[MASK]" if task == "fill-mask" else "stone"
    texts = [text.replace("[MASK]", mask) for text in (*make_texts(12, 1, 30), "the old [MASK]", "a [MASK]")]

    assert pipeline.pads == (pads or pipeline.description.device != "cpu")
    for answer, text in zip(run(pipeline, [(text, {}) for text in texts]), texts, strict=True):
        assert_equal(answer, plain(pipe(text)), text)


def test_attention_that_differs_is_padded(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Say, because a new transformers hands its sequences over in another way."""
    from inference.backends.transformers import ragged  # noqa: PLC0415

    monkeypatch.setattr(ragged, "groupby", lambda lengths: [(sum(lengths), [1])])
    caplog.set_level("INFO")
    pipeline = load(BUNDLED_MODEL, device="cpu")

    assert pipeline.pads
    assert "pads its batches: its outputs would differ" in caplog.text
    assert run(pipeline, [("test [MASK]", {})])[0][0]["token_str"] == "."


@pytest.mark.parametrize("how", ["raises", "differs"])
def test_packed_layers_that_fail_are_taken_out(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    import torch  # noqa: PLC0415

    from inference.backends.transformers import packed_linear  # noqa: PLC0415

    def forward(self: Any, inputs: Any) -> Any:
        if how == "raises":
            raise RuntimeError("no such operator")
        return torch.zeros(*inputs.shape[:-1], self._out)

    real = packed_linear.PackedLinear.__init__

    def made(self: Any, weight: Any, bias: Any, activation: str = "none") -> None:
        real(self, weight, bias)
        self._out = len(weight)

    monkeypatch.setattr(packed_linear.PackedLinear, "__init__", made)
    monkeypatch.setattr(packed_linear.PackedLinear, "forward", forward)
    pipeline: Any = load(BUNDLED_MODEL, device="cpu")

    assert not [m for m in pipeline._model.modules() if isinstance(m, packed_linear.PackedLinear)]
    assert run(pipeline, [("test [MASK]", {})])[0][0]["token_str"] == "."


@pytest.mark.parametrize("pad", [{"pad_token_id": 0}, {}], ids=["pads", "cannot pad"])
@pytest.mark.parametrize("kind", ["GPT2Model", "GPT2ForSequenceClassification"])
def test_decoders(
    models: Any, tmp_path: Path, make_texts: Callable[..., list[str]], kind: str, pad: dict[str, int]
) -> None:
    """Their forward pass returns a cache beside the tensors. Without a padding token rows run one by one."""
    more = {"id2label": {0: "calm", 1: "glad", 2: "cross"}} if kind != "GPT2Model" else {}
    folder = models.gpt2(tmp_path / "decoder", kind, **pad, **more)
    pipe = direct(folder, "feature-extraction" if kind == "GPT2Model" else "text-classification")
    texts = ["a boat", "the old river", *(text.replace("[MASK]", "stone") for text in make_texts(6, 1, 6))]

    pipeline = load(folder)
    assert pipeline.shares_calls == pipeline.pads == bool(pad)
    for answer, text in zip(run(pipeline, [(text, {}) for text in texts]), texts, strict=True):
        assert_equal(answer, plain(pipe(text)), text)


def test_zero_shot_classification_without_a_padding_token(models: Any, tmp_path: Path) -> None:
    """The labels of an input run one by one."""
    numbers = {"contradiction": 0, "neutral": 1, "entailment": 2}
    labels = {"id2label": {number: label for label, number in numbers.items()}, "label2id": numbers}
    folder = models.gpt2(tmp_path / "decoder", "GPT2ForSequenceClassification", **labels, n_positions=200)
    pipe = direct(folder, "zero-shot-classification")

    [answer] = run(load(folder, task="zero-shot-classification"), [("a boat", LABELS)])

    assert_equal(answer, plain(pipe("a boat", **LABELS)))


def test_pooling_without_a_padding_token(models: Any, tmp_path: Path) -> None:
    pipeline = load(models.gpt2(tmp_path / "decoder", "GPT2Model"))
    tokens, mean = run(pipeline, [("the old river", {}), ("the old river", {"pooling": "mean"})])

    assert mean == pytest.approx([sum(column) / len(tokens[0]) for column in zip(*tokens[0], strict=True)], abs=1e-5)


def test_text_generation(models: Any, folder_of: Callable[[Make], Path]) -> None:
    folder = folder_of(models.text_generation)
    pipe = direct(folder, "text-generation")
    texts = ["once upon a time", "a boat", "the old river"]
    kinds: list[dict[str, Any]] = [
        {"max_new_tokens": 6, "do_sample": False},
        {"max_new_tokens": 3, "do_sample": False, "repetition_penalty": 1.5, "return_full_text": False},
    ]
    asked = [(text, parameters | {"seed": 7}) for text in texts for parameters in kinds]

    answers = run(load(folder), asked)

    for answer, (text, parameters) in zip(answers, asked, strict=True):
        assert answer == pipe(text, **{name: value for name, value in parameters.items() if name != "seed"})


def test_a_seed_repeats_what_was_drawn(models: Any, folder_of: Callable[[Make], Path]) -> None:
    pipeline = load(folder_of(models.text_generation))
    draw = {"max_new_tokens": 10, "do_sample": True, "temperature": 2.0}

    first, again, other = run(pipeline, [("a boat", draw | {"seed": seed}) for seed in (1, 1, 2)])

    assert first == again != other


def test_generation_stops_where_the_model_ends(models: Any, folder_of: Callable[[Make], Path]) -> None:
    """The pipeline's default of 256 new tokens is more than this model has places for."""
    pipeline = load(folder_of(models.text_generation))

    (answer,) = run(pipeline, [("once upon a time", {"seed": 1})])

    assert answer[0]["generated_text"].startswith("once upon a time")


# One bad input among good ones


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("text_classification", {}),
        ("token_classification", {}),
        ("feature_extraction", {}),
        ("zero_shot_classification", {"candidate_labels": ["a", "b"]}),
        ("text_generation", {"max_new_tokens": 2, "seed": 1}),
    ],
)
def test_too_long_an_input_has_its_own_error(
    models: Any, folder_of: Callable[[Make], Path], name: str, parameters: dict[str, Any]
) -> None:
    pipeline = load(folder_of(getattr(models, name)), task=name.replace("_", "-"))
    good = ("a boat", parameters)

    alone = run(pipeline, [good])[0]
    before, bad, after = run(pipeline, [good, (TOO_LONG, parameters), good])

    assert isinstance(bad, Invalid)
    assert str(models.LONGEST) in bad.message
    assert re.search(r"has \d{3} tokens", bad.message)
    assert_equal(before, alone)
    assert_equal(after, alone)


def test_generation_needs_room(models: Any, folder_of: Callable[[Make], Path]) -> None:
    pipeline = load(folder_of(models.text_generation))

    (error,) = run(pipeline, [("a boat", {"max_new_tokens": 1000, "seed": 1})])

    assert isinstance(error, Invalid)
    assert "max_new_tokens is 1000" in error.message
    assert str(models.LONGEST) in error.message


def test_an_input_without_a_mask_has_its_own_error(bundled: BatchedPipeline) -> None:
    good, bad, target, also_good = run(
        bundled, [("a [MASK]", {}), ("no mask", {}), ("a [MASK]", {"targets": ["\u200b"]}), ("b [MASK]", {})]
    )

    assert isinstance(bad, Invalid)
    assert "[MASK]" in bad.message
    assert isinstance(target, Invalid)
    assert "target" in target.message
    assert (good[0]["sequence"][0], also_good[0]["sequence"][0]) == ("a", "b")


# Through real servers


@pytest.fixture(scope="module")
def servers(models: Any, folder_of: Callable[[Make], Path], redis: Redis) -> Iterator[tuple[Web, Web]]:
    """They load side by side."""
    poisonable = {"INFERENCE_MODEL": str(folder_of(models.poisonable)), "INFERENCE_DEVICE": "cpu"}
    generates = {"INFERENCE_MODEL": str(folder_of(models.text_generation)), "INFERENCE_LAYER_PREFIX": "generator"}
    with (
        processes.worker(redis, generates, wait=False),
        processes.web(env=poisonable, wait_for="/health/live") as classifier,
        processes.web(redis, generates) as generator,
    ):
        classifier.wait_until_answers("/health/ready")
        yield classifier, generator


@pytest.fixture
def classifier(servers: tuple[Web, Web]) -> Web:
    """Text classification with a model that fails on one word. (On a GPU that would cost the process its device.)"""
    return servers[0]


@pytest.fixture
def generator(servers: tuple[Web, Web]) -> Web:
    return servers[1]


def test_text_classification_is_served(classifier: Web, models: Any, folder_of: Callable[[Make], Path]) -> None:
    pipe = direct(folder_of(models.text_classification), "text-classification")
    texts = ["a boat", "the long winters end too late", "bread"]
    with client(classifier) as http:
        whole = http.post("/?format=pipeline", json={"inputs": texts}).json()
        one = http.post("/?format=pipeline", json={"inputs": texts[0], "parameters": {"top_k": 3}}).json()
        wrong = http.post("/", json={"inputs": texts[0], "parameters": {"targets": ["x"]}})
        too_long = http.post("/", content=TOO_LONG)

    assert_equal(whole, plain([pipe(text) for text in texts]))
    assert_equal(one, plain(pipe(texts[0], top_k=3)))
    assert wrong.status_code == 422
    assert "text-classification" in wrong.json()["error"]
    assert too_long.status_code == 422
    assert "102 tokens" in too_long.json()["error"]
    assert "48" in too_long.json()["error"]


def test_an_input_on_which_the_model_fails_leaves_the_others_answered(
    classifier: Web, models: Any, folder_of: Callable[[Make], Path]
) -> None:
    """It fails in the forward pass, and so with its batch; its mates get their answers all the same."""
    pipe = direct(folder_of(models.text_classification), "text-classification")
    poisoned = f"a {models.POISON} on the bridge"
    with client(classifier) as http:
        failed = http.post("/", json={"inputs": ["a boat"] * 7 + [poisoned] + ["a boat"] * 7})
        alone = http.post("/", content=poisoned)
        good = http.post("/", json={"inputs": ["a boat", "bread"]})

    assert (failed.status_code, failed.json()["error_type"]) == (500, "inference")
    assert failed.json()["error"].startswith("inputs[7]: ")
    assert (alone.status_code, alone.json()["error_type"]) == (500, "inference")
    assert "IndexError" not in alone.text
    assert alone.headers["x-request-id"] in classifier.log()
    assert "IndexError" in classifier.log()
    assert_equal(good.json(), plain([pipe("a boat"), pipe("bread")]))
    row = classifier.row(alone.headers["x-request-id"])
    assert (row["status"], row["code"]) == ("failed", "inference")


def test_mates_of_a_failing_input_in_the_same_batch(
    classifier: Web, models: Any, folder_of: Callable[[Make], Path], make_texts: Callable[..., list[str]]
) -> None:
    pipe = direct(folder_of(models.text_classification), "text-classification")
    texts = [text.replace("[MASK]", "stone") for text in make_texts(60)]
    bad = set(range(0, 60, 10))
    sent = [models.POISON if number in bad else text for number, text in enumerate(texts)]

    replies = post_at_once(classifier, sent)

    for number, reply in enumerate(replies):
        assert reply.status_code == (500 if number in bad else 200), reply.text
        if number not in bad:
            assert_equal(reply.json(), plain(pipe(texts[number])), texts[number])


def test_text_generation_is_served(generator: Web, models: Any, folder_of: Callable[[Make], Path]) -> None:
    pipe = direct(folder_of(models.text_generation), "text-generation")
    greedy = {"max_new_tokens": 6, "do_sample": False}
    drawn = {"max_new_tokens": 6, "do_sample": True, "temperature": 3.0}
    with client(generator) as http:
        whole = http.post("/", json={"inputs": ["a boat", "the old river"], "parameters": greedy})
        again = [http.post("/", json={"inputs": "a boat", "parameters": drawn | {"seed": 5}}).json() for _ in range(2)]
        without_seed = [http.post("/", json={"inputs": "a boat", "parameters": drawn}).json() for _ in range(8)]
        default = http.post("/", content="once upon a time")
        no_room = http.post("/", json={"inputs": "a boat", "parameters": {"max_new_tokens": 1000}})

    assert whole.json() == [pipe("a boat", **greedy), pipe("the old river", **greedy)]
    assert again[0] == again[1]
    assert any(answer != without_seed[0] for answer in without_seed)
    assert default.status_code == 200
    assert no_room.status_code == 422
    assert "max_new_tokens is 1000" in no_room.json()["error"]


def post_at_once(server: Web, texts: Sequence[str]) -> list[httpx.Response]:
    import asyncio  # noqa: PLC0415

    async def post_all() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, verify=False, timeout=CLIENT_S) as http:  # noqa: S501
            return await asyncio.gather(*(http.post("/", content=text) for text in texts))

    return asyncio.run(post_all())
