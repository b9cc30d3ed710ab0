"""Runs in the environment of ``make reference``, which has no package of ours: answers questions that it gets as JSON.

python ask.py FILE     reads ``[[folder, task, input, parameters], ...]``, writes the answers and versions over it
"""

import base64
import functools
import importlib.metadata
import io
import json
import sys
from pathlib import Path

import torch
import transformers
from PIL import Image
from sentence_transformers import SentenceTransformer

VERSIONS = ("transformers", "tokenizers", "sentence-transformers", "torch", "pillow")


def main(file):
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    questions = json.loads(file.read_text())
    answers = [answer(*question) for question in questions]
    versions = {name: importlib.metadata.version(name) for name in VERSIONS}
    file.write_text(json.dumps({"versions": versions, "answers": answers}, default=lambda value: value.tolist()))


def answer(folder, task, given, parameters):
    if task == "encode":
        return encode(folder, given, **parameters)
    pipe = pipeline(task, folder)
    if task == "image-to-text":
        return pipe(picture(given), **parameters)
    if task == "visual-question-answering":
        return pipe(image=picture(given["image"]), question=given["question"], **parameters)
    return pipe(**given, **parameters) if task == "question-answering" else pipe(given, **parameters)


def encode(folder, text, truncate_dim=None, **parameters):
    model = sentence_transformer(folder)
    return model.encode(text, truncate_dim=truncate_dim, **parameters)


@functools.cache
def sentence_transformer(folder):
    return SentenceTransformer(folder, device="cpu", local_files_only=True)


@functools.cache
def pipeline(task, folder):
    rename_for_4(Path(folder, "tokenizer_config.json"))
    return transformers.pipeline(task, model=folder, device=-1, torch_dtype=torch.float32)


def rename_for_4(config):
    """What transformers 5 wrote, with the names that transformers 4 reads."""
    settings = json.loads(config.read_text())
    if settings.get("tokenizer_class") == "TokenizersBackend":
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(settings.get("extra_special_tokens"), list):
        settings["additional_special_tokens"] = settings.pop("extra_special_tokens")
    config.write_text(json.dumps(settings))


def picture(content):
    return Image.open(io.BytesIO(base64.b64decode(content)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
