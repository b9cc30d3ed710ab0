"""``python -m tests.clients chats.py``: chats and completions by OpenAI's, LangChain's and the Hub's clients.

The pipeline's model has a chat template. PYTHON has openai 3.57.0, langchain-openai 1.7.4 and huggingface-hub 2.4.0.
"""

import asyncio
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

from huggingface_hub import InferenceClient
from langchain_openai import ChatOpenAI
from langchain_openai import OpenAI as LangChainCompletions
from openai import APIStatusError, AsyncOpenAI, BadRequestError, NotFoundError, OpenAI, pydantic_function_tool
from pydantic import BaseModel

PIPELINE, URL = "chat", sys.argv[-1]
V1 = f"{URL}/v1"
CHAT: list[Any] = [{"role": "developer", "content": "be short"}, {"role": "user", "content": "once upon a time"}]
GREEDY: dict[str, Any] = {"model": PIPELINE, "temperature": 0, "max_tokens": 8}
WITH_USAGE = {"include_usage": True}


def joined(chunks: Iterable[Any]) -> str:
    return "".join(each.choices[0].delta.content or "" for each in chunks if each.choices)


def refused(error: type[APIStatusError], param: str | None, call: Callable[[], Any]) -> None:
    try:
        call()
    except error as raised:
        found, request_id = raised.param, raised.request_id
    assert (found, len(request_id or "")) == (param, 32)


def last_letter(text: str) -> str:
    """The last one that is whole."""
    return next(letter for letter in reversed(text) if letter != "\ufffd")


def chats_of_openai() -> None:
    """In strict mode, the client checks the types of all fields."""
    client = OpenAI(base_url=V1, api_key="any", max_retries=0, _strict_response_validation=True)
    ask = partial(client.chat.completions.create, messages=CHAT, **GREEDY)
    whole = ask(n=2, logprobs=True, top_logprobs=2, stop=["\0"], seed=1, user="u", metadata={"a": "b"})
    first, second = (choice.message.content for choice in whole.choices)
    assert first == second
    assert whole.usage.completion_tokens == 2 * len(whole.choices[0].logprobs.content) == 16
    assert joined(ask(stream=True)) == first
    assert list(ask(stream=True, stream_options=WITH_USAGE))[-1].usage.completion_tokens == 8
    drawn = GREEDY | {"temperature": 1, "seed": 3, "max_tokens": 32}  # a random model repeats itself otherwise
    longer = client.chat.completions.create(messages=CHAT, **drawn).choices[0].message.content
    how = {"logprobs": True, "stream_options": WITH_USAGE, "stop": (stop := last_letter(longer))}
    with client.chat.completions.stream(messages=CHAT, **how, **drawn) as stream:  # it fails for a text that is cut
        assert "logprobs.content.delta" in {event.type for event in stream}
        end = stream.get_final_completion()
    assert (end.choices[0].message.content, end.choices[0].finish_reason) == (longer.partition(stop)[0], "stop")
    assert end.system_fingerprint == whole.system_fingerprint
    more = [*CHAT, end.choices[0].message, {"role": "user", "content": [{"type": "text", "text": "and then?"}]}]
    assert client.chat.completions.create(messages=more, **GREEDY).choices[0].message.content
    assert PIPELINE in [each.id for each in client.models.list()]
    assert client.models.retrieve(PIPELINE).id == PIPELINE


def completions_of_openai() -> None:
    client = OpenAI(base_url=f"{URL}/pipelines/{PIPELINE}/v1", api_key="any", max_retries=0)
    ask = partial(client.with_options().completions.create, **GREEDY)
    whole = ask(prompt=["once", "upon"], n=2, logprobs=2)
    texts = [choice.text for choice in whole.choices]
    assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]
    assert 0 < len(whole.choices[0].logprobs.tokens) <= 8  # special ones are left out
    assert ask(prompt="once", echo=True).choices[0].text == "once" + texts[0]
    assert "".join(each.choices[0].text for each in ask(prompt="once", stream=True)) == texts[0]
    assert len(ask(prompt=[[5, 6], [7]]).choices) == 2


class City(BaseModel):
    name: Literal["Rome", "Oslo"]
    size: Literal[1, 2, 3]


def structured_of_openai() -> None:
    client = OpenAI(base_url=V1, api_key="any", max_retries=0, _strict_response_validation=True)
    how = {"model": PIPELINE, "max_tokens": 100, "seed": 1}
    whole = client.chat.completions.parse(messages=CHAT, response_format=City, **how).choices[0].message
    assert isinstance(whole.parsed, City)
    with client.chat.completions.stream(messages=CHAT, response_format=City, **how) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == whole.parsed
    assert ChatOpenAI(base_url=V1, api_key="any", **how).with_structured_output(City).invoke("a city")
    schema = City.model_json_schema()
    asked = {"type": "json_schema", "json_schema": {"name": "City", "schema": schema, "strict": True}}
    hub = InferenceClient(base_url=f"{URL}/pipelines/{PIPELINE}")
    answer = hub.chat_completion(CHAT, response_format=asked, max_tokens=100, seed=1).choices[0].message.content
    assert City.model_validate_json(answer)
    of_text = {"max_new_tokens": 100, "return_full_text": False, "grammar": {"type": "json", "value": schema}}
    assert City.model_validate_json(
        InferenceClient().text_generation("a city", model=f"{URL}/pipelines/{PIPELINE}", **of_text)
    )


def tools_of_openai() -> None:
    client = OpenAI(base_url=V1, api_key="any", max_retries=0, _strict_response_validation=True)
    tool = pydantic_function_tool(City)
    how: dict[str, Any] = {"model": PIPELINE, "max_tokens": 200, "seed": 1, "tools": [tool]}
    for choice in ("required", {"type": "function", "function": {"name": "City"}}):
        whole = client.chat.completions.parse(messages=CHAT, tool_choice=choice, **how).choices[0]
        assert (whole.finish_reason, whole.message.content) == ("tool_calls", None)
        (call,) = whole.message.tool_calls
        assert isinstance(call.function.parsed_arguments, City)
        with client.chat.completions.stream(messages=CHAT, tool_choice=choice, **how) as stream:
            streamed = stream.get_final_completion().choices[0]
        assert streamed.message.tool_calls[0].function.arguments == call.function.arguments
    answer = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    assert client.chat.completions.create(messages=[*CHAT, whole.message, answer], **how).choices
    bound = ChatOpenAI(base_url=V1, api_key="any", model=PIPELINE, seed=1).bind_tools([City], tool_choice="any")
    assert bound.invoke("a city").tool_calls[0]["name"] == "City"
    hub = InferenceClient(base_url=f"{URL}/pipelines/{PIPELINE}")
    called = hub.chat_completion(CHAT, tools=[tool], tool_choice="required", max_tokens=200, seed=1).choices[0]
    assert called.message.tool_calls[0].function.name == "City"


def refusals_of_openai() -> None:
    client = OpenAI(base_url=V1, api_key="any")
    ask = partial(client.chat.completions.create, **GREEDY)
    refused(NotFoundError, "model", lambda: ask(messages=CHAT, model="gpt-4o"))
    refused(BadRequestError, "messages", lambda: ask(messages=[]))
    refused(BadRequestError, "max_tokens", lambda: ask(messages=CHAT, max_tokens=10**6, stream=True))
    refused(BadRequestError, "tools", lambda: ask(messages=CHAT, tools=[{"type": "function"}]))
    refused(BadRequestError, "response_format", lambda: ask(messages=CHAT, response_format={"type": "xml"}))


async def openai_async() -> None:
    client = AsyncOpenAI(base_url=V1, api_key="any", _strict_response_validation=True)
    stream, whole = await asyncio.gather(
        client.chat.completions.create(messages=CHAT, stream=True, **GREEDY),
        client.chat.completions.create(messages=CHAT, **GREEDY),
    )
    assert joined([each async for each in stream]) == whole.choices[0].message.content


def langchain() -> None:
    how: dict[str, Any] = {"base_url": V1, "api_key": "any", "max_retries": 0} | GREEDY
    for more in ({}, {"stream_usage": True}, {"logprobs": True, "top_logprobs": 2}, {"seed": 1, "streaming": True}):
        chat = ChatOpenAI(**how, **more)
        answer = chat.invoke([("system", "be short"), ("human", "hello"), ("ai", "hi"), ("human", "who?")])
        assert answer.content
        assert "".join(str(each.content) for each in chat.stream("hello")) == chat.invoke("hello").content
    assert len(ChatOpenAI(**how).batch(["a", "b"])) == 2
    completions = LangChainCompletions(**how)
    assert "".join(completions.stream("once")) == completions.invoke("once") == completions.batch(["once", "upon"])[0]


def hub() -> None:
    how: dict[str, Any] = {"temperature": 0, "max_tokens": 8}
    for base in (f"{URL}/pipelines/{PIPELINE}", f"{URL}/pipelines/{PIPELINE}/v1"):
        client = InferenceClient(base_url=base)
        whole = client.chat_completion(CHAT, logprobs=True, top_logprobs=2, seed=1, **how)
        assert joined(client.chat_completion(CHAT, stream=True, **how)) == whole.choices[0].message.content


for check in (
    chats_of_openai,
    completions_of_openai,
    structured_of_openai,
    tools_of_openai,
    refusals_of_openai,
    langchain,
    hub,
):
    check()
asyncio.run(openai_async())
