"""Hugging Face's own client: each of its methods that has a task here, with a fake pipeline for each task."""

import base64
import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import httpx
import huggingface_hub
import pytest
from huggingface_hub.errors import HfHubHTTPError

from inference.tasks import TASKS
from inference.tasks.media import EXAMPLE_IMAGE, EXAMPLE_RECORDING
from tests import processes
from tests.conftest import client
from tests.processes import Redis, Web

pytestmark = [
    pytest.mark.timeout(600),  # the first test that needs a server waits for its start
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),  # the client's own
]

IMAGE, RECORDING = base64.b64decode(EXAMPLE_IMAGE), base64.b64decode(EXAMPLE_RECORDING)
TEXT, MASKED = "the old river", "the old [MASK]"
QUESTION = {"question": "who runs", "context": TEXT}
TABLE = {"query": "what", "table": {"a": ["1", "2"]}}
LABELS = {"candidate_labels": ["a", "b"]}
WORDS = {"word_boxes": [["Total", [0, 0, 100, 50]]]}
GENERATED = {"max_new_tokens": 3}


class Call(NamedTuple):
    """``given`` are the arguments by name; ``right`` says whether the answer is."""

    task: str
    arguments: tuple[Any, ...]
    given: dict[str, Any]
    right: Callable[[Any], Any]


CALLS = [
    Call("fill-mask", (MASKED,), {"top_k": 1, "targets": ["word"]}, lambda a: a[0].sequence == "the old word"),
    Call("text-classification", (TEXT,), {}, lambda a: [each.label for each in a] == ["LABEL_0"]),
    Call("text-classification", (TEXT,), {"top_k": 2, "function_to_apply": "none"}, lambda a: a[0].score == 1),
    Call("token-classification", (TEXT,), {}, lambda a: a[0].entity_group == "LABEL_0" and a[0].word == "the"),
    Call("token-classification", (TEXT,), {"aggregation_strategy": "none"}, lambda a: a[0].entity == "LABEL_0"),
    Call("feature-extraction", (TEXT,), {}, lambda a: a.tolist() == [1, 0, 0]),
    Call("feature-extraction", ([TEXT, TEXT],), {"normalize": True, "dimensions": 3}, lambda a: a.shape == (2, 3)),
    Call("feature-extraction", (TEXT,), {"encoding_format": "base64", "truncate": True}, lambda a: a.shape == (3,)),
    Call("sentence-similarity", (TEXT,), {"other_sentences": ["a"]}, lambda a: a == [1]),
    Call("zero-shot-classification", (TEXT,), LABELS, lambda a: [each.label for each in a] == ["a", "b"]),
    Call("question-answering", (), QUESTION, lambda a: a.answer == "the"),
    Call("question-answering", (), QUESTION | {"top_k": 2, "doc_stride": 8}, lambda a: a[0].answer == "the"),
    Call("table-question-answering", (), TABLE, lambda a: (a.answer, a.aggregator) == ("1", "NONE")),
    Call("table-question-answering", (), TABLE | {"padding": "longest", "sequential": True, "truncation": True}, bool),
    Call("summarization", (TEXT,), {"truncation": "only_first", "generate_parameters": {"max_new_tokens": 4}}, bool),
    Call("translation", (TEXT,), {"src_lang": "en", "tgt_lang": "de"}, bool),
    Call("text-generation", (TEXT,), GENERATED | {"return_full_text": False}, lambda a: a == " and so on."),
    Call("text-generation", (TEXT,), GENERATED | {"details": True}, lambda a: a.details.generated_tokens == 3),
    Call("text-generation", (TEXT,), GENERATED | {"stream": True}, lambda a: a == [" and", " so", " on."]),
    Call("image-classification", (IMAGE,), {}, lambda a: a[0].label == "LABEL_0"),
    Call("image-classification", (IMAGE,), {"top_k": 2}, lambda a: a[0].label == "LABEL_0"),
    Call("object-detection", (IMAGE,), {"threshold": 0.5}, lambda a: a[0].box.xmax == 1),
    Call("image-segmentation", (IMAGE,), {"subtask": "semantic"}, lambda a: a[0].mask.size == (16, 16)),
    Call("image-to-text", (IMAGE,), {}, lambda a: a.generated_text == "and so on."),
    Call("zero-shot-image-classification", (IMAGE,), LABELS, lambda a: [each.label for each in a] == ["a", "b"]),
    Call("visual-question-answering", (IMAGE,), {"question": "what", "top_k": 1}, lambda a: a[0].answer == "word"),
    Call("document-question-answering", (IMAGE,), WORDS | {"question": "what", "lang": "en"}, lambda a: a[0].answer),
    Call("automatic-speech-recognition", (RECORDING,), {}, lambda a: a.text == "word"),
    Call("audio-classification", (RECORDING,), {"top_k": 1}, lambda a: a[0].label == "LABEL_0"),
    Call("text-to-speech", (TEXT,), {}, lambda a: a == RECORDING),
    Call("text-to-speech", (TEXT,), {"extra_body": {"format": "flac"}}, bool),
]
OTHERS = {"decision", "depth-estimation", "image-feature-extraction", "image-text-to-text", "text2text-generation"}
"""Tasks without a method of this client."""
OTHERS |= {"text-ranking"}


@pytest.fixture(scope="module")
def every_task() -> dict[str, str]:
    path = processes.scratch() / "clients.toml"
    table = '[{0}]\ntask = "{0}"\nmodel = "{0}"\nbackend = "inference.testing.backend"\n'
    path.write_text("\n".join(map(table.format, sorted({call.task for call in CALLS}))))
    return {"INFERENCE_PIPELINES": str(path), "INFERENCE_LAYER_PREFIX": "clients"}


@pytest.fixture(scope="module")
def alone(every_task: dict[str, str]) -> Iterator[Web]:
    with processes.web(env=every_task) as server:
        server.wait_until_loaded()
        yield server


@pytest.fixture(scope="module")
def with_a_worker(redis: Redis, every_task: dict[str, str]) -> Iterator[Web]:
    with ExitStack() as stack:
        stack.enter_context(processes.worker(redis, every_task))
        server = stack.enter_context(processes.web(redis, every_task))
        server.wait_until_loaded()
        yield server


@pytest.fixture(params=["alone", "with_a_worker"])
def server(request: pytest.FixtureRequest) -> Web:
    shared: Web = request.getfixturevalue(request.param)
    return shared


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    """What keeps tests off the network would stop the client, too."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


def address(server: Web, task: str) -> str:
    return f"{server.url}/pipelines/{task}"


def stock(server: Web, task: str) -> huggingface_hub.InferenceClient:
    return huggingface_hub.InferenceClient(base_url=address(server, task), timeout=60)


def test_each_task_has_a_call_or_no_method() -> None:
    assert {call.task for call in CALLS} | OTHERS == TASKS.keys()
    assert not any(hasattr(huggingface_hub.InferenceClient, task.replace("-", "_")) for task in OTHERS)


def test_each_method_gets_its_answer(server: Web) -> None:
    for task, arguments, given, right in CALLS:
        asking = stock(server, task)
        answer = getattr(asking, task.replace("-", "_"))(*arguments, **given)
        answer = list(answer) if inspect.isgenerator(answer) else answer
        assert right(answer), (task, given, answer)


async def test_each_asynchronous_method_gets_its_answer(alone: Web) -> None:
    """With the address in the call, which the client then sends among the parameters of tables, too."""
    async with huggingface_hub.AsyncInferenceClient(timeout=60) as asking:
        for task, arguments, given, right in CALLS:
            method = getattr(asking, task.replace("-", "_"))
            answer = await method(*arguments, **given, model=address(alone, task))
            answer = [each async for each in answer] if inspect.isasyncgen(answer) else answer
            assert right(answer), (task, given, answer)


def test_the_server_tells_about_itself(alone: Web) -> None:
    told = huggingface_hub.InferenceClient(model=address(alone, "fill-mask"), provider="hf-inference", timeout=60)
    assert told.health_check() is True
    assert told.get_endpoint_info()["task"] == "fill-mask"
    whole = huggingface_hub.InferenceClient(model=alone.url, provider="hf-inference", timeout=60)
    assert whole.health_check() is True
    assert len(whole.get_endpoint_info()["pipelines"]) == len({call.task for call in CALLS})


def test_the_client_hears_what_was_wrong(alone: Web) -> None:
    with pytest.raises(HfHubHTTPError, match=r"The input has no \[MASK\]; put one"):
        stock(alone, "fill-mask").fill_mask(TEXT)


def test_the_own_answer_of_the_pipeline_and_the_one_of_clients(alone: Web) -> None:
    asked: dict[str, Any] = {"inputs": TEXT, "parameters": LABELS}
    with client(alone) as http:
        own, of_clients = (
            http.post(f"/pipelines/zero-shot-classification{query}", json=asked) for query in ("?format=pipeline", "")
        )
        refused = http.post("/?format=yaml", json=asked)
    assert own.json() == {"sequence": TEXT, "labels": ["a", "b"], "scores": [1.0, 0.0]}
    assert of_clients.json() == [{"label": "a", "score": 1.0}, {"label": "b", "score": 0.0}]
    assert (refused.status_code, refused.json()["error_type"]) == (422, "validation")


def test_a_list_answered_in_part_has_its_answers_in_the_same_shape(alone: Web) -> None:
    asked = {"inputs": [TEXT, 1, TEXT]}
    with client(alone) as http:
        reply: httpx.Response = http.post(
            "/pipelines/text-classification", json=asked, headers={"prefer": "return=partial"}
        )
    first, second, third = reply.json()
    assert first == third == [{"label": "LABEL_0", "score": 1.0}]
    assert second["error"] == "The input is a number; it must be a text."
