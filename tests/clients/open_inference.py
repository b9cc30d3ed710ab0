"""``python -m tests.clients open_inference.py``: Triton's and KServe's clients.

PYTHON has tritonclient[http] 2.73.0 and kserve 0.21.0. Pipelines are called like their tasks.
"""

import asyncio
import io
import itertools
import json
import struct
import sys
import wave
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tritonclient.http
import tritonclient.http.aio
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from tritonclient.http import InferRequestedOutput
from tritonclient.utils import InferenceServerException

TEXT = "once upon a boat"
COMPRESSIONS = (None, "gzip", "deflate")


def recording() -> bytes:
    with wave.open(file := io.BytesIO(), "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(16000)
        written.writeframes(bytes(range(256)) * 64)
    return file.getvalue()


def image() -> bytes:
    rows = b"".join(b"\0" + bytes((x * y) % 256 for x in range(3 * 64)) for y in range(64))
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    written = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


PAGE = json.dumps([["Total:", [60, 800, 160, 830]], ["42", [180, 800, 220, 830]]])
CHAT = [{"role": "user", "content": "What is this?"}]
QUESTIONS = json.dumps({"refund": {"type": "noul", "instructions": "Is a refund requested?"}})
LABELS = ["a boat", "bread"]
TENSORS: dict[str, dict[str, list[Any]]] = {
    "audio-classification": {"inputs": [recording()]},
    "automatic-speech-recognition": {"inputs": [recording()]},
    "decision": {"state": [TEXT], "questions": [QUESTIONS]},
    "depth-estimation": {"inputs": [image()]},
    "document-question-answering": {"question": ["How much?"], "word_boxes": [PAGE]},
    "feature-extraction": {"args": [TEXT, "bread"]},
    "fill-mask": {"array_inputs": [f"{TEXT} [MASK]", "é [MASK]"]},
    "image-classification": {"inputs": [image(), image()]},
    "image-feature-extraction": {"inputs": [image(), image()]},
    "image-segmentation": {"inputs": [image()]},
    "image-text-to-text": {"inputs": [json.dumps(CHAT)]},
    "image-to-text": {"inputs": [image()]},
    "object-detection": {"inputs": [image()]},
    "question-answering": {"question": ["who", "what"], "context": ["my name is ada", "a boat"]},
    "sentence-similarity": {"source_sentence": [TEXT], "sentences": ["a boat", "bread"]},
    "summarization": {"args": [TEXT]},
    "table-question-answering": {"query": ["who"], "table": [json.dumps({"name": ["Ada", "Alan"]})]},
    "text-classification": {"args": [TEXT, "bread"]},
    "text-generation": {"text_inputs": [TEXT]},
    "text-ranking": {"query": [TEXT], "texts": ["a boat", "bread"]},
    "text-to-speech": {"args": [TEXT]},
    "text2text-generation": {"args": [TEXT]},
    "token-classification": {"args": [TEXT]},
    "translation": {"args": [TEXT]},
    "visual-question-answering": {"image": [image()], "question": ["what"]},
    "zero-shot-classification": {"array_inputs": [TEXT], "candidate_labels": LABELS},
    "zero-shot-image-classification": {"inputs": [image()], "candidate_labels": LABELS},
}
"""By task."""


def inputs(task: str) -> list[Any]:
    return [tensor(name, values) for name, values in TENSORS[task].items()]


def tensor(name: str, values: list[Any]) -> Any:
    made = tritonclient.http.InferInput(name, [len(values)], "BYTES")
    made.set_data_from_numpy(np.array(values, dtype=object), binary_data=True)
    return made


def check(task: str, answer: np.ndarray) -> None:
    """One answer for each input."""
    lists = ("candidate_labels", "sentences", "texts")
    assert answer.shape[0] == min(len(values) for name, values in TENSORS[task].items() if name not in lists)
    if answer.dtype == np.float32:
        assert np.isfinite(answer).all()
    elif task == "text-to-speech":
        assert answer[0, 0].startswith(b"RIFF")
    else:
        assert all(json.loads(element) for element in answer[:, 0])


def refusal(call: Callable[[], Any]) -> InferenceServerException:
    try:
        call()
    except InferenceServerException as error:
        return error
    raise AssertionError("it was not refused")


def triton(address: str) -> None:
    client = tritonclient.http.InferenceServerClient(address, network_timeout=120)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    served = {entry["name"] for entry in client.get_model_repository_index()}
    assert served >= TENSORS.keys(), TENSORS.keys() - served
    for task in TENSORS:
        metadata = client.get_model_metadata(task)
        assert metadata["name"] == task
        assert client.is_model_ready(task, metadata["versions"][0])
        assert client.is_model_ready(task, "1")
        check(task, client.infer(task, inputs(task)).as_numpy("output"))
    task = "fill-mask"
    for binary, compression in itertools.product((True, False), COMPRESSIONS):
        result = client.infer(
            task,
            inputs(task),
            outputs=[InferRequestedOutput("output", binary_data=binary)],
            request_id="seven",
            timeout=60_000_000,
            priority=1,
            sequence_id=5,
            request_compression_algorithm=compression,
            response_compression_algorithm=compression,
            parameters={"top_k": 2},
        )
        assert result.get_response()["id"] == "seven"
        assert len(json.loads(result.as_numpy("output")[0, 0])) == 2
    check(task, client.async_infer(task, inputs(task)).get_result().as_numpy("output"))
    for refused, status in ((lambda: client.infer("none", inputs(task)), 404), (lambda: client.load_model(task), 400)):
        error = refusal(refused)
        assert error.status() == str(status), error
        assert error.message().endswith(".")
    client.close()


async def triton_aio(address: str) -> None:
    async with tritonclient.http.aio.InferenceServerClient(address) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("fill-mask")
        assert (await client.get_model_metadata("fill-mask"))["name"] == "fill-mask"
        answers = await asyncio.gather(*(client.infer("fill-mask", inputs("fill-mask")) for _ in range(8)))
        for answer in answers:
            check("fill-mask", answer.as_numpy("output"))


async def kserve(url: str) -> None:
    async with InferenceRESTClient(RESTConfig(protocol="v2", timeout=60)) as client:
        assert await client.is_server_live(url)
        assert await client.is_server_ready(url)
        assert await client.is_model_ready(url, "fill-mask")
        assert not await client.is_model_ready(url, "none")
        task, values = "feature-extraction", TENSORS["feature-extraction"]["args"]
        in_json = InferInput("args", [len(values)], "BYTES", data=values)
        in_bytes = InferInput("args", [len(values)], "BYTES")
        in_bytes.set_data_from_numpy(np.array([value.encode() for value in values], dtype=object), binary_data=True)
        wanted = [RequestedOutput("output", parameters={"binary_data": True})]
        for given, outputs in itertools.product((in_json, in_bytes), (None, wanted)):
            request = InferRequest(task, [given], request_id="9", request_outputs=outputs)
            answer = await client.infer(url, request, model_name=task)
            assert (answer.id, answer.model_name) == ("9", task)
            check(task, answer.outputs[0].as_numpy().astype(np.float32))


def main(url: str) -> None:
    address = url.removeprefix("http://")
    triton(address)
    asyncio.run(triton_aio(address))
    asyncio.run(kserve(url))


main(sys.argv[-1])
