"""``python -m tests.clients embeddings.py``: clients of embeddings.

PYTHON has openai 3.57.0, langchain-openai 1.7.4, langchain-huggingface 1.2.3, llama-index-embeddings-openai 0.7.0 and
llama-index-embeddings-text-embeddings-inference 0.6.0.
"""

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import mock

import tiktoken
from huggingface_hub import AsyncInferenceClient, InferenceClient
from langchain_huggingface import HuggingFaceEndpointEmbeddings
from langchain_openai import OpenAIEmbeddings
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference
from openai import APIStatusError, AsyncOpenAI, BadRequestError, NotFoundError, OpenAI

URL, PIPELINE = sys.argv[-1], "feature-extraction"
V1, OF_PIPELINE = f"{URL}/v1", f"{URL}/pipelines/{PIPELINE}"
TEXTS = ["in town", "on the river"]

Vectors = list[list[float]]


def refusal(call: Callable[[], Any]) -> APIStatusError:
    try:
        call()
    except APIStatusError as error:
        return error
    raise AssertionError("it was not refused")


def of_openai() -> Vectors:
    client = OpenAI(base_url=V1, api_key="any", max_retries=0)
    answer = client.embeddings.create(model=PIPELINE, input=TEXTS)  # asks for base64 and reads it
    assert answer.usage.total_tokens > 0
    assert [each.index for each in answer.data] == [0, 1]
    assert len(client.embeddings.create(model=PIPELINE, input="a", dimensions=3).data[0].embedding) == 3
    for error, param, wrong in (
        (NotFoundError, "model", {"model": "nothing"}),
        (BadRequestError, "input", {"input": [[1, 2]]}),
        (BadRequestError, "input", {"input": ""}),
        (BadRequestError, "dimensions", {"dimensions": -1}),
    ):
        refused = refusal(partial(client.embeddings.create, **{"model": PIPELINE, "input": "a"} | wrong))
        assert isinstance(refused, error), refused
        assert (refused.param, refused.type) == (param, "invalid_request_error"), refused
    return [each.embedding for each in answer.data]


def of_openai_strict() -> Vectors:
    client = OpenAI(base_url=V1, api_key="any", _strict_response_validation=True)
    answer = client.embeddings.create(model=PIPELINE, input=TEXTS, encoding_format="float")
    return [each.embedding for each in answer.data]


async def of_openai_async() -> Vectors:
    client = AsyncOpenAI(base_url=f"{OF_PIPELINE}/v1", api_key="any")
    answer = await client.embeddings.create(model="anything", input=TEXTS)
    return [each.embedding for each in answer.data]


def of_langchain_openai() -> Vectors:
    """By default it sends ids of OpenAI's tokenizer, which it would download."""
    bytes_as_ids = {bytes([number]): number for number in range(256)}
    encoding = tiktoken.Encoding("bytes", pat_str=".", mergeable_ranks=bytes_as_ids, special_tokens={})
    with mock.patch("tiktoken.get_encoding", return_value=encoding):
        client = OpenAIEmbeddings(model=PIPELINE, base_url=V1, api_key="any")
        assert "check_embedding_ctx_length=False" in str(refusal(partial(client.embed_documents, TEXTS)))
    client = OpenAIEmbeddings(model=PIPELINE, base_url=V1, api_key="any", check_embedding_ctx_length=False)
    return client.embed_documents(TEXTS)


def of_llama_index_openai() -> Vectors:
    client = OpenAIEmbedding(model_name=PIPELINE, api_base=V1, api_key="any")
    return client.get_text_embedding_batch(TEXTS)


def of_llama_index() -> Vectors:
    client = TextEmbeddingsInference(
        model_name=PIPELINE, base_url=OF_PIPELINE, query_instruction="", text_instruction=""
    )
    [of_one] = client.get_text_embedding_batch(TEXTS[:1])
    assert close([of_one], [asyncio.run(client.aget_query_embedding(TEXTS[0]))])
    return client.get_text_embedding_batch(TEXTS)


def of_langchain() -> Vectors:
    """It takes no address, but another client."""
    client = HuggingFaceEndpointEmbeddings(model="any", huggingfacehub_api_token="any")
    client.client, client.async_client = (
        kind(f"{OF_PIPELINE}/embed") for kind in (InferenceClient, AsyncInferenceClient)
    )
    vectors = client.embed_documents(TEXTS)
    assert close([client.embed_query(TEXTS[0])], vectors[:1])
    assert close(asyncio.run(client.aembed_documents(TEXTS)), vectors)
    return vectors


def close(some: Vectors, others: Vectors) -> bool:
    pairs = [(a, b) for one, other in zip(some, others, strict=True) for a, b in zip(one, other, strict=True)]
    return all(abs(a - b) < 1e-5 for a, b in pairs)


first = of_openai()
for name, vectors in {
    "openai, strict": of_openai_strict(),
    "openai, async": asyncio.run(of_openai_async()),
    "LangChain's OpenAIEmbeddings": of_langchain_openai(),
    "LlamaIndex's OpenAIEmbedding": of_llama_index_openai(),
    "LlamaIndex's TextEmbeddingsInference": of_llama_index(),
    "LangChain's HuggingFaceEndpointEmbeddings": of_langchain(),
}.items():
    assert close(vectors, first), name
