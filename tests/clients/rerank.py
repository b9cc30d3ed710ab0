"""``python -m tests.clients rerank.py``: clients of rerank.

PYTHON has cohere 7.3.1, langchain-community 0.4.2 and llama-index-postprocessor-jinaai-rerank 0.6.0.
"""

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import cohere
from cohere.core.api_error import ApiError
from cohere.errors import BadRequestError, NotFoundError
from langchain_community.document_compressors import jina_rerank
from langchain_core.documents import Document
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.postprocessor.jinaai_rerank import JinaRerank

URL, PIPELINE = sys.argv[-1], "text-ranking"
QUERY = "where is the boat"
TEXTS = ["in town", "on the river", "bread"]


def refusal(call: Callable[[], Any]) -> ApiError | RuntimeError:
    try:
        call()
    except (ApiError, RuntimeError) as error:
        return error
    raise AssertionError("it was not refused")


def of_cohere() -> list[int]:
    client = cohere.ClientV2(api_key="any", base_url=URL)
    for wrong, error in (({"model": "nothing"}, NotFoundError), ({"documents": []}, BadRequestError)):
        refused = refusal(partial(client.rerank, **{"model": PIPELINE, "query": QUERY, "documents": TEXTS} | wrong))
        assert isinstance(refused, error), refused
        assert refused.body["message"].endswith("."), refused
    answer = client.rerank(model=PIPELINE, query=QUERY, documents=TEXTS)
    assert answer.meta.tokens.input_tokens > 0
    return [each.index for each in answer.results]


async def of_cohere_async() -> list[int]:
    client = cohere.AsyncClientV2(api_key="any", base_url=URL)
    answer = await client.rerank(model=PIPELINE, query=QUERY, documents=TEXTS, max_tokens_per_doc=4096)
    return [each.index for each in answer.results]


def of_cohere_1() -> list[int]:
    client = cohere.Client(api_key="any", base_url=URL)
    answer = client.rerank(model=PIPELINE, query=QUERY, documents=TEXTS, return_documents=True)
    assert [each.document.text for each in answer.results] == [TEXTS[each.index] for each in answer.results]
    return [each.index for each in answer.results]


def of_langchain() -> list[int]:
    jina_rerank.JINA_API_URL = f"{URL}/v1/rerank"
    unknown = jina_rerank.JinaRerank(jina_api_key="any", model="nothing")
    assert "There is no pipeline" in str(refusal(partial(unknown.rerank, TEXTS, QUERY)))
    client = jina_rerank.JinaRerank(jina_api_key="any", model=PIPELINE, top_n=3)
    found = client.compress_documents([Document(text) for text in TEXTS], QUERY)
    return [TEXTS.index(each.page_content) for each in found]


def of_llama_index() -> list[int]:
    client = JinaRerank(model=PIPELINE, base_url=f"{URL}/v1", api_key="any", top_n=3)
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in TEXTS]
    return [TEXTS.index(each.text) for each in client.postprocess_nodes(nodes, QueryBundle(QUERY))]


best = of_cohere()
assert sorted(best) == [0, 1, 2], best
for found in (asyncio.run(of_cohere_async()), of_cohere_1(), of_langchain(), of_llama_index()):
    assert found == best, found
