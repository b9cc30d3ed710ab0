"""``python chats_llama_index.py URL``: chats and completions by LlamaIndex.

The pipeline's model has a chat template. PYTHON has llama-index-llms-openai-like 0.8.1, which wants openai below 3.
"""

import sys

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

PIPELINE, URL = "chat", sys.argv[-1]
CHAT = [ChatMessage(role="system", content="be short"), ChatMessage(role="user", content="once upon a time")]

for is_chat_model in (True, False):
    model = OpenAILike(
        model=PIPELINE, api_base=f"{URL}/v1", api_key="any", is_chat_model=is_chat_model, max_tokens=8, temperature=0.0
    )
    assert "".join(each.delta or "" for each in model.stream_complete("once")) == model.complete("once").text
    assert "".join(each.delta or "" for each in model.stream_chat(CHAT)) == model.chat(CHAT).message.content
