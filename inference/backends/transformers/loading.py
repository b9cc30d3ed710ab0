"""From a Hub id or a folder to a pipeline that is what it claims to be.

``transformers.pipeline()`` loads a checkpoint without its head, with the wrong task or without its tokenizer's files
without an error, and answers nonsense; so the parts are loaded one by one, checked, and then put together.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from tqdm import tqdm

from inference.backends.base import LoadFailed
from inference.backends.transformers.checkpoint import identity
from inference.conf import BUNDLED_MODEL, Conf
from inference.tasks import TASKS, find

MODEL_CLASSES = {
    "fill-mask": transformers.AutoModelForMaskedLM,
    "text-classification": transformers.AutoModelForSequenceClassification,
    "zero-shot-classification": transformers.AutoModelForSequenceClassification,
    "token-classification": transformers.AutoModelForTokenClassification,
    "text-generation": transformers.AutoModelForCausalLM,
    "feature-extraction": transformers.AutoModel,
}
TASK_BY_HEAD = {
    "ForMaskedLM": "fill-mask",
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "Model": "feature-extraction",
}
MADE_FOR = {
    "ForQuestionAnswering": "question-answering",
    "ForConditionalGeneration": "sequence-to-sequence generation",
    "ForSeq2SeqLM": "sequence-to-sequence generation",
    "MTModel": "translation",
    "ForMultipleChoice": "multiple-choice",
    "ForNextSentencePrediction": "next-sentence-prediction",
    "ForImageClassification": "image-classification",
    "ForImageSegmentation": "image-segmentation",
    "ForSemanticSegmentation": "image-segmentation",
    "ForObjectDetection": "object-detection",
    "ForDepthEstimation": "depth-estimation",
    "ForVideoClassification": "video-classification",
    "ForAudioClassification": "audio-classification",
    "ForCTC": "automatic-speech-recognition",
    "ForSpeechSeq2Seq": "automatic-speech-recognition",
}
"""The usual heads that are not served."""
NATIVE = {
    "bfloat16": ("avx512_bf16", "amx_bf16", "sve_bf16", "bf16"),
    "float16": ("avx512_fp16", "amx_fp16", "fp16"),
}
"""Processor features, as ``torch.cpu.get_capabilities`` names them, that make a half precision fast."""
WHAT_IS_NEEDED = "a folder needs config.json, model.safetensors and the tokenizer's files"
Report = Callable[[str], None]


@dataclass(frozen=True)
class Loaded:
    """``pipe`` is a transformers pipeline; ``name`` is what clients may be told.

    ``weights`` tells checkpoints apart.
    """

    pipe: Any
    task: str
    name: str
    revision: str
    weights: str
    device: str
    dtype: str
    threads: int


def load_pipeline(conf: Conf, report: Report) -> Loaded:
    """Raises ``LoadFailed``."""
    transformers.utils.logging.disable_progress_bar()
    threads = conf.threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    device = _device(conf.device)
    # In half precision on a GPU, cuDNN's attention would be planned anew, in 40 ms, for each shape that it has not met;
    # here shapes hardly ever come again: batches differ, and texts grow. PyTorch's other kernels have no plans.
    torch.backends.cuda.enable_cudnn_sdp(enabled=False)
    source: dict[str, Any] = {
        "pretrained_model_name_or_path": conf.model,
        "revision": conf.revision or None,
        "trust_remote_code": False,
    }
    where = "the folder" if Path(conf.model).is_dir() else "the Hub"
    name = "bundled-model" if conf.model == BUNDLED_MODEL else _display_name(conf.model)
    report(f"reading {name} from {where}")
    try:
        config = transformers.AutoConfig.from_pretrained(**source)
        task = _task(conf, config)
        tokenizer = transformers.AutoTokenizer.from_pretrained(**source)
        _check_tokenizer(tokenizer, config, name)
        report(f"loading weights for {task}")
        dtype = _dtype(conf.dtype, device)
        model, info = MODEL_CLASSES[task].from_pretrained(
            **source,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            tqdm_class=_progress(report),
        )
        _check_weights(info, task, name)
        pipe = transformers.pipeline(task, model=model, tokenizer=tokenizer, device=device)
    except LoadFailed:
        raise
    except Exception as error:
        raise LoadFailed(_explain(error, conf)) from error
    model.eval()
    revision = getattr(config, "_commit_hash", None) or conf.revision
    return Loaded(
        pipe=pipe,
        task=task,
        name=name,
        revision=revision,
        weights=identity(conf.model, revision),
        device=str(pipe.device),
        dtype=str(model.dtype).removeprefix("torch."),
        threads=threads,
    )


def give_memory_back(device: str) -> None:
    """To other processes: what the device's allocator keeps for later, of what has been freed."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def _display_name(model: str) -> str:
    """Hub ids stay; of a folder only the last part is shown to clients."""
    return Path(model).resolve().name if Path(model).is_dir() else model


def _task(conf: Conf, config: Any) -> str:
    if conf.task:
        found = find(conf.task)
        if found is None:
            raise LoadFailed(f"INFERENCE_TASK is {conf.task!r}; it must be one of {', '.join(TASKS)}.")
        _check_purpose(conf.model, found.name, config)
        return found.name
    for architecture in config.architectures or ():
        _check_served(conf.model, architecture)
        for head, task in TASK_BY_HEAD.items():
            if architecture.endswith(head):
                return task
    raise LoadFailed(
        f"{conf.model} does not say what it is for ({config.architectures}); "
        f"set INFERENCE_TASK to one of {', '.join(TASKS)}."
    )


def _check_served(model: str, architecture: str) -> None:
    for head, purpose in MADE_FOR.items():
        if architecture.endswith(head):
            raise LoadFailed(
                f"{model} was made for {purpose} ({architecture}), which this server does not serve; "
                f"it serves {', '.join(TASKS)}."
            )


def _check_purpose(model: str, task: str, config: Any) -> None:
    """What the weights alone do not tell: they would fit, and the answers would be nonsense."""
    trained_for = {TASK_BY_HEAD[head] for a in config.architectures or () for head in TASK_BY_HEAD if a.endswith(head)}
    if task == "text-generation" and trained_for and task not in trained_for:
        raise LoadFailed(f"{model} was trained for {' and '.join(sorted(trained_for))}, not for {task}.")
    labels = [str(label).lower() for label in (getattr(config, "label2id", None) or {})]
    if task == "zero-shot-classification" and not any(label.startswith("entail") for label in labels):
        raise LoadFailed(
            f"{model} has no label 'entailment' (its labels: {', '.join(labels)[:200]}); "
            f"{task} needs a model that was trained for natural language inference."
        )


def _device(wanted: str) -> str:
    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda:0"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise LoadFailed(f"INFERENCE_DEVICE is {wanted!r}; it must be auto, cpu, cuda, cuda:0 or mps.") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise LoadFailed(f"INFERENCE_DEVICE is {wanted!r}, but this machine has {count} CUDA devices; use auto or cpu.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise LoadFailed(f"INFERENCE_DEVICE is {wanted!r}, but this machine has none; use auto or cpu.")
    return wanted


def _dtype(wanted: str, device: str) -> Any:
    """Exactness first: on a CPU ``auto`` is float32. Half precision is refused where the processor emulates it."""
    if wanted == "auto":
        return torch.float32 if device == "cpu" else "auto"
    needed = NATIVE.get(wanted, ())
    if device == "cpu" and needed and not any(torch.cpu.get_capabilities().get(name) for name in needed):
        raise LoadFailed(
            f"INFERENCE_DTYPE is {wanted}, which this processor does not do natively (none of {', '.join(needed)}): "
            "it would be slower than float32; use auto."
        )
    return getattr(torch, wanted)


def _check_tokenizer(tokenizer: Any, config: Any, name: str) -> None:
    """Without its files, a tokenizer has a handful of special tokens and every word is unknown to it."""
    known, expected = len(tokenizer), getattr(config, "vocab_size", None)
    if expected and known < 0.5 * expected:
        raise LoadFailed(
            f"{name} has no usable tokenizer ({known} tokens, the model has {expected}): {WHAT_IS_NEEDED}."
        )
    if expected and known > expected:
        raise LoadFailed(
            f"The tokenizer of {name} has {known} tokens, but the model only {expected}: they do not belong together."
        )


def _check_weights(info: dict[str, Any], task: str, name: str) -> None:
    """Weights that the checkpoint lacks would be random numbers."""
    # The pooler is not used to extract features, and checkpoints of masked language models have none.
    pooler = ("pooler.",) if task == "feature-extraction" else ()
    missing = sorted(key for key in info["missing_keys"] if not key.startswith(pooler or ("\0",)))
    mismatched = sorted(str(key) for key in info["mismatched_keys"])
    if missing or mismatched:
        shown = ", ".join((missing + mismatched)[:3])
        raise LoadFailed(
            f"{name} has no weights for {task} ({len(missing) + len(mismatched)} are missing or of another shape: "
            f"{shown}); choose a checkpoint that was trained for {task}, or another INFERENCE_TASK."
        )


def _progress(report: Report) -> type:
    """A progress bar that speaks through ``report``, every two seconds."""

    class Progress(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._said_at = time.monotonic()
            kwargs.pop("name", None)
            super().__init__(*args, **kwargs | {"file": open(os.devnull, "w"), "disable": False})  # noqa: SIM115

        def update(self, n: float | None = 1) -> Any:
            updated = super().update(n)
            if self.total and time.monotonic() - self._said_at > 2:
                self._said_at = time.monotonic()
                report(f"{self.desc or 'loading'} {100 * self.n / self.total:.0f} %")
            return updated

    return Progress


def _explain(error: Exception, conf: Conf) -> str:
    """One sentence: what was tried, what went wrong, what to do."""
    chain = {type(e).__name__ for e in _causes(error)}
    model = conf.model
    at = f" at revision {conf.revision}" if conf.revision else ""
    if isinstance(error, SafetensorError):
        return f"The weights of {model} are damaged or incomplete ({error}); fetch them again."
    if Path(model).is_dir():
        return f"The folder {model} cannot be loaded ({_first_line(error)}): {WHAT_IS_NEEDED}."
    if "GatedRepoError" in chain:
        return f"{model} is gated on the Hub; accept its terms there and set HF_TOKEN."
    if "RevisionNotFoundError" in chain:
        return (
            f"{model} has no revision {conf.revision!r} on the Hub; set INFERENCE_REVISION to a commit, tag or branch."
        )
    if "RepositoryNotFoundError" in chain:
        return f"There is no model {model} on the Hub (or it is private: set HF_TOKEN), and no such folder here."
    if chain & {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectError", "ConnectionError"}:
        return (
            f"{model}{at} is not a folder here and not in the local cache, and the Hub cannot be reached; "
            f"connect to the network, or set INFERENCE_MODEL to a folder: {WHAT_IS_NEEDED}."
        )
    if "HFValidationError" in chain:
        return f"INFERENCE_MODEL is {model!r}, which is neither a folder here nor a Hub id such as owner/name."
    return f"{model}{at} cannot be loaded ({_first_line(error)}); only safetensors are loaded, and never remote code."


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    line = text.splitlines()[0] if text else type(error).__name__
    return (line if len(line) < 300 else line[:299] + "…").rstrip(".")


def _causes(error: BaseException | None) -> list[BaseException]:
    chain = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain
