"""Documents in the order in which they answer a query, as the clients of Cohere and Jina ask."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.api.dialects import cohere, jina
from inference.api.dialects.rerank import RerankEndpoint
from inference.errors import EmptyInput, InferenceFailed, Invalid, Overloaded
from inference.messaging.messages import Result
from inference.serving.context import RequestContext
from inference.serving.query import Query
from inference.serving.result import Outcome
from tests.api.dialects.asking import read, refusal
from tests.api.dialects.native.test_native import steady
from tests.scheduling.test_host_registry import DESCRIPTION
from tests.serving.results import make_result

ENDPOINT = RerankEndpoint("/v2/rerank", documents=False)
TASK = "text-ranking"
ASKED = {"query": "q", "documents": ["a", {"text": "b"}, "c"]}
CONTEXT = RequestContext(transport="http", id="r1")


def answered(query: Query, endpoint: RerankEndpoint = ENDPOINT) -> dict[str, Any]:
    output = b'[{"index":2,"score":0.75},{"index":1,"score":1e-7}]'
    result = make_result(query, outcomes=[Outcome(Result(0, output, 0.0, 0.0, 1, tokens=12))])
    answer: dict[str, Any] = json.loads(endpoint.reply(CONTEXT, result).body)
    return answer


def test_documents_become_texts_that_are_cut() -> None:
    query = read(ENDPOINT, ASKED | {"top_n": 2, "model": "acme/model"}, TASK)
    assert query.inputs == [{"query": "q", "texts": ["a", "b", "c"]}]
    assert query.parameters == {"truncate": True, "top_n": 2}
    assert query.pipeline == "default"


@pytest.mark.parametrize(("top_n", "parameters"), [(0, {}), (None, {}), (3, {"top_n": 3})])
def test_all_are_wanted_unless_a_number_is_said(top_n: int | None, parameters: dict[str, int]) -> None:
    assert read(ENDPOINT, ASKED | {"top_n": top_n}, TASK).parameters == {"truncate": True} | parameters


def test_the_path_counts_before_the_model() -> None:
    assert read(ENDPOINT, ASKED | {"model": 3}, TASK, pipeline="ranking").pipeline == "ranking"
    assert read(ENDPOINT, ASKED, TASK).pipeline is None


def test_an_answer_has_the_fields_of_all_clients() -> None:
    assert answered(read(ENDPOINT, ASKED, TASK)) == {
        "id": "r1",
        "model": "default",
        "results": [{"index": 2, "relevance_score": 0.75}, {"index": 1, "relevance_score": 1e-7}],
        "usage": {"prompt_tokens": 12, "total_tokens": 12},
        "meta": {"tokens": {"input_tokens": 12}},
    }


@pytest.mark.parametrize("by_default", [True, False])
@pytest.mark.parametrize("asked", [True, False, None])
def test_documents_are_in_the_answer_where_they_are_wanted(by_default: bool, asked: bool | None) -> None:
    endpoint = RerankEndpoint("/rerank", documents=by_default)
    results = answered(read(endpoint, ASKED | {"return_documents": asked}, TASK), endpoint)["results"]
    wanted = by_default if asked is None else asked
    assert [each.get("document") for each in results] == ([{"text": "c"}, {"text": "b"}] if wanted else [None, None])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"documents": "a"}, "'documents' is a text; it must be a list of texts."),
        ({"documents": []}, "'documents' is an empty list; send at least one text."),
        ({"documents": ["a", 3]}, "documents[1] is a number; it must be a text."),
        ({"documents": [{"image": "a"}]}, "documents[0] is null; it must be a text."),
        ({"documents": ["a", " "]}, "documents[1] is empty; send a text."),
        ({"return_documents": 1}, "'return_documents' is a number; it must be true or false."),
        ({"model": ["a"]}, "'model' is a list; it must be the name of a pipeline."),
        ({"max_tokens_per_doc": "x"}, "'max_tokens_per_doc' must be a whole number from"),
        ({"max_tokens_per_doc": DESCRIPTION.longest_input - 1}, "'max_tokens_per_doc' must be a whole number from"),
        ({"rank_fields": ["a"]}, "There is no field 'rank_fields'; known are: query, documents, top_n,"),
    ],
)
def test_a_refusal_names_the_field(fields: dict[str, Any], message: str) -> None:
    assert refusal(ENDPOINT, ASKED | fields, TASK).message.startswith(message)


def test_a_limit_that_the_model_has_anyway_is_no_matter() -> None:
    assert read(ENDPOINT, ASKED | {"max_tokens_per_doc": DESCRIPTION.longest_input}, TASK)


def test_a_pipeline_of_another_task_is_refused() -> None:
    message = "This pipeline serves fill-mask; /v2/rerank needs one that ranks texts."
    assert refusal(ENDPOINT, ASKED, "fill-mask").message == message


@pytest.mark.parametrize(("dialect", "field"), [(cohere.DIALECT, "message"), (jina.DIALECT, "detail")])
def test_errors_are_where_the_clients_look(dialect: Any, field: str) -> None:
    reply = dialect.error(CONTEXT, Overloaded("Too much.", retry_after_s=3))
    assert (reply.status, json.loads(reply.body)[field]) == (429, "Too much.")
    assert (b"retry-after", b"3") in reply.headers
    assert dialect.error(CONTEXT, InferenceFailed("No.")).status == 500


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "a"]), inner, max_size=2),
    max_leaves=5,
)


@steady
@given(st.dictionaries(st.sampled_from(["query", "documents", *ENDPOINT.optional, "model"]), json_values))
def test_any_object_is_read_or_refused(fields: dict[str, Any]) -> None:
    with suppress(EmptyInput, Invalid):
        read(ENDPOINT, ASKED | fields, TASK)
