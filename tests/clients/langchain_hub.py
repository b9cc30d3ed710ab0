"""``python -m tests.clients langchain_hub.py``.

PYTHON has langchain-huggingface 0.3.1, which needs neither torch nor transformers for what is used here.
"""

import asyncio
import sys

from langchain_huggingface import HuggingFaceEndpoint, HuggingFaceEndpointEmbeddings

TEXTS = ["a boat", "on a long river\nin town"]


def main(url: str) -> None:
    embeddings = HuggingFaceEndpointEmbeddings(model=f"{url}/pipelines/feature-extraction")
    documents = embeddings.embed_documents(TEXTS)
    query = asyncio.run(embeddings.aembed_query(TEXTS[0]))
    assert len(documents) == 2
    assert all(abs(one - other) < 1e-4 for one, other in zip(query, documents[0], strict=True))
    model = HuggingFaceEndpoint(
        endpoint_url=f"{url}/pipelines/text-generation", max_new_tokens=5, huggingfacehub_api_token="any"
    )
    assert "".join(model.stream("once upon")) == model.invoke("once upon")


main(sys.argv[-1])
