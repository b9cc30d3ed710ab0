"""What cannot be served is refused before it takes a job."""

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inference.backends.transformers import backend
from inference.conf import BUNDLED_MODEL, Conf
from inference.tasks import TASKS
from tests import processes
from tests.backends.transformers.running import Make, load
from tests.fakes import BROKEN, REASON
from tests.processes import Redis

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_refused_where_it_is_emulated(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    import torch  # noqa: PLC0415

    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    with pytest.raises(backend.LoadFailed, match=f"INFERENCE_DTYPE is {dtype}.*use auto"):
        load(BUNDLED_MODEL, dtype=dtype, device="cpu")


def test_attention_is_not_planned_anew_for_each_shape(models: Any, folder_of: Callable[[Make], Path]) -> None:
    """As cuDNN does: on a GPU, a text came at 22 tokens a second in half precision, instead of at 180."""
    import torch  # noqa: PLC0415

    torch.backends.cuda.enable_cudnn_sdp(enabled=True)
    load(folder_of(models.fill_mask))
    assert not torch.backends.cuda.cudnn_sdp_enabled()


def copy_of(base: Path, folder: Path, how: str) -> Path:
    """A copy of a model's folder, broken in some way."""
    shutil.copytree(base, folder)
    config, weights = folder / "config.json", folder / "model.safetensors"
    breaks: dict[str, Callable[[], Any]] = {
        "no tokenizer": lambda: remove(folder.glob("tokenizer*")),
        "truncated weights": lambda: weights.write_bytes(weights.read_bytes()[:-1000]),
        "empty weights": lambda: weights.write_bytes(b""),
        "only a .bin file": lambda: weights.rename(folder / "pytorch_model.bin"),
        "bad config": lambda: config.write_text('{"model_type": '),
        "unknown model type": lambda: change(config, model_type="perceptron"),
        "no purpose": lambda: change(config, architectures=[]),
        "another purpose": lambda: change(config, architectures=["BertForMultipleChoice"]),
        "foreign tokenizer": lambda: change(config, vocab_size=1000),
    }
    breaks[how]()
    return folder


def remove(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink()


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("no tokenizer", "no usable tokenizer"),
        ("truncated weights", "damaged or incomplete"),
        ("empty weights", "damaged or incomplete"),
        ("only a .bin file", "model.safetensors"),
        ("bad config", "config.json"),
        ("unknown model type", "perceptron"),
        ("no purpose", "does not say what it is for"),
        ("another purpose", "was made for multiple-choice"),
        ("foreign tokenizer", "do not belong together"),
    ],
)
def test_a_broken_folder_is_refused(
    models: Any, folder_of: Callable[[Make], Path], tmp_path: Path, how: str, words: str
) -> None:
    assert_refused({"model": str(copy_of(folder_of(models.text_classification), tmp_path / "broken", how))}, words)


@pytest.mark.parametrize(
    ("architecture", "purpose"),
    [
        ("LlavaForConditionalGeneration", "sequence-to-sequence generation"),
        ("RobertaForMultipleChoice", "multiple-choice"),
        ("BertForNextSentencePrediction", "next-sentence-prediction"),
    ],
)
def test_a_checkpoint_for_what_is_not_served_is_told_so(architecture: str, purpose: str) -> None:
    from inference.backends.transformers.checkpoint_task import task_of  # noqa: PLC0415 - imports torch

    with pytest.raises(backend.LoadFailed) as refused:
        task_of(Conf(model="owner/name"), SimpleNamespace(architectures=[architecture]))
    assert str(refused.value) == (
        f"owner/name was made for {purpose} ({architecture}), which this server does not serve; "
        f"it serves {', '.join(TASKS)}."
    )


@pytest.mark.parametrize(
    ("name", "task", "words"),
    [
        ("feature_extraction", "fill-mask", "no weights for fill-mask"),
        ("fill_mask", "text-classification", "no weights for text-classification"),
        ("text_classification", "zero-shot-classification", "entailment"),
        ("fill_mask", "text-generation", "fill-mask"),
        ("text_generation", "fill-mask", "is a model of kind GPT2, which is not for fill-mask"),
        ("fill_mask", "translation", "is a model of kind Bert, which is not for translation; choose another"),
        (
            "fill_mask",
            "summarize",
            "INFERENCE_TASK is 'summarize'; it must be one of .*, feature-extraction, fill-mask",
        ),
    ],
)
def test_a_task_that_the_checkpoint_is_not_for_is_refused(
    models: Any, folder_of: Callable[[Make], Path], name: str, task: str, words: str
) -> None:
    assert_refused({"model": str(folder_of(getattr(models, name))), "task": task}, words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "/no/such/folder"}, "/no/such/folder"),
        ({"model": "no such/folder at all"}, "no such/folder at all"),
        ({"model": "google-bert/bert-base-uncased"}, "google-bert/bert-base-uncased.*cannot be reached"),
        ({"model": "google-bert/bert-base-uncased", "revision": "abc"}, "revision abc.*cannot be reached"),
        ({"device": "cpuu"}, "INFERENCE_DEVICE is 'cpuu'"),
        ({"device": "cuda:99"}, "INFERENCE_DEVICE is 'cuda:99'"),
        ({"device": "mps"}, "INFERENCE_DEVICE is 'mps'"),
        ({"device": "meta"}, "warm-up"),
    ],
)
def test_what_is_not_there_is_refused(options: dict[str, Any], words: str) -> None:
    assert_refused(options, words)


def assert_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(backend.LoadFailed, match=words) as refused:
        backend.load(Conf(**options), lambda progress: None)
    sentence = str(refused.value)
    assert sentence.endswith((".", ")"))
    assert "\n" not in sentence
    assert len(sentence) < 1000  # it may name all tasks


def test_processes_that_cannot_load_end_with_one_sentence(
    models: Any, folder_of: Callable[[Make], Path], redis: Redis
) -> None:
    damaged = processes.FAKE | {"INFERENCE_MODEL": BROKEN, "INFERENCE_LAYER_PREFIX": "damaged"}
    headless = {"INFERENCE_MODEL": str(folder_of(models.feature_extraction)), "INFERENCE_TASK": "fill-mask"}
    with (
        processes.web(env=headless, wait_for=None) as server,
        processes.worker(redis, damaged, wait=False) as worker,
    ):
        assert server.wait() == 1
        assert worker.wait() == 1
        assert "Cannot serve: " in server.last_line()
        assert "no weights for fill-mask" in server.last_line()
        assert "Cannot serve: " in worker.last_line()
        assert REASON in worker.last_line()
