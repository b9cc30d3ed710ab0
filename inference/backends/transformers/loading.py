"""From a Hub id or a folder to a pipeline that is what it claims to be.

``transformers.pipeline()`` loads a checkpoint without its head, with the wrong task or without its tokenizer's files
without an error, and answers nonsense; so the parts are loaded one by one, checked, and then put together.
"""

import io
import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
import transformers
from tqdm import tqdm

from inference.backends.base import LoadFailed, Turn, at_once
from inference.backends.transformers import compat, cores, memory
from inference.backends.transformers.checkpoint import identity
from inference.backends.transformers.checkpoint_checks import check_tokenizer, check_weights
from inference.backends.transformers.checkpoint_task import task_of
from inference.backends.transformers.devices import QUANTIZED, choose_device, choose_dtype
from inference.backends.transformers.load_errors import explain
from inference.backends.transformers.loaded import Loaded, Parts
from inference.backends.transformers.source import Source
from inference.backends.transformers.task import Report, TransformersTask, auto_class
from inference.conf import BUNDLED_MODEL, Conf
from inference.tasks.base import Task

REPORT_EVERY_S = 2.0
PARTS = {
    "tokenizer": "AutoTokenizer",
    "image_processor": "AutoImageProcessor",
    "feature_extractor": "AutoFeatureExtractor",
    "processor": "AutoProcessor",
}
"""Classes of transformers by the pipeline's arguments."""


def load_pipeline(conf: Conf, report: Report, turn: Turn = at_once) -> Loaded:
    """Raises ``LoadFailed``."""
    threads = conf.threads or cores.available()
    _set_up_libraries(threads)
    name = _display_name(conf.model)
    report(f"reading {name} from {'this machine' if Path(conf.model).exists() else 'the Hub'}")
    try:
        pipe, task, spec, missing, weights = _load(conf, name, report)
    except LoadFailed:
        raise
    except compat.Missing as error:
        raise LoadFailed(str(error)) from error
    except Exception as error:
        raise LoadFailed(explain(error, conf)) from error
    return Loaded(
        pipe=pipe,
        task=task,
        spec=spec,
        name=name,
        revision=_revision(conf, pipe.model.config),
        weights=weights,
        device=str(pipe.device),
        dtype=str(pipe.model.dtype).removeprefix("torch."),
        threads=threads,
        missing=missing,
        turn=turn,
        quantized=conf.dtype == QUANTIZED,
    )


def _set_up_libraries(threads: int) -> None:
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("transformers.generation.utils").addFilter(_is_news)
    torch.set_num_threads(threads)
    # In half precision on a GPU, cuDNN's attention plans each new shape for 40 ms. Shapes hardly ever come again here:
    # batches differ, and texts grow. PyTorch's other kernels need no plans.
    torch.backends.cuda.enable_cudnn_sdp(enabled=False)


def _is_news(record: logging.LogRecord) -> bool:
    """False for what ``generate`` says in each call: a request's limit goes before that of the checkpoint."""
    return "`max_new_tokens`" not in str(record.msg)


def _load(conf: Conf, name: str, report: Report) -> tuple[Any, Task, TransformersTask, tuple[str, ...], str]:
    """A transformers pipeline, the task that it serves, optional weights that the checkpoint lacks, its identity."""
    device, found = choose_device(conf.device), Source.of(conf)
    found.check_readers()
    source = found.arguments()
    config = found.with_architecture(transformers.AutoConfig.from_pretrained(**source))
    task, spec = task_of(conf, config)
    dtype = choose_dtype(conf.dtype, device)
    in_place = conf.dtype != QUANTIZED and getattr(config, "model_type", "") in spec.in_place
    memory.check(found, name, device, dtype, in_place=in_place)
    parts = {part: getattr(transformers, PARTS[part]).from_pretrained(**source) for part in spec.parts}
    if tokenizer := parts.get("tokenizer"):
        check_tokenizer(tokenizer, config, name, encodes=spec.encodes)
    report(f"loading weights for {task.name}")
    with ThreadPoolExecutor(1, "identity") as beside:  # a digest of all files takes as long as reading them
        weights = beside.submit(identity, conf.model, _revision(conf, config))
        model, info = getattr(transformers, auto_class(spec, config)).from_pretrained(
            **source,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            tqdm_class=_progress(report),
        )
    check_weights(info, task.name, name, spec.optional_weights)
    model.eval()
    pipe: Any
    if spec.has_pipeline:
        pipe = transformers.pipeline(spec.pipeline or task.name, model=model, device=device, **parts)
        compat.check_pipeline(pipe)
    else:
        pipe = Parts(model.to(device), parts["tokenizer"], model.device, parts.get("image_processor"))
    return pipe, task, spec, tuple(info["missing_keys"]), weights.result()


def _revision(conf: Conf, config: Any) -> str:
    return getattr(config, "_commit_hash", None) or conf.revision


def _display_name(model: str) -> str:
    """What clients may know: a Hub id, or the last part of a path on this machine."""
    if model == BUNDLED_MODEL:
        return "bundled-model"
    return Path(model).resolve().name if Path(model).exists() else model


class _Discard(io.StringIO):
    def write(self, text: str) -> int:
        return len(text)


def _progress(report: Report) -> type:
    """A progress bar that is drawn where there is a terminal, and goes to ``report`` as well."""

    class Progress(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._reported_at = time.monotonic()
            kwargs.pop("name", None)
            file = sys.stderr if sys.stderr.isatty() else _Discard()
            super().__init__(*args, **kwargs | {"file": file, "disable": False, "leave": False})

        def update(self, n: float | None = 1) -> Any:
            updated = super().update(n)
            if self.total and time.monotonic() - self._reported_at > REPORT_EVERY_S:
                self._reported_at = time.monotonic()
                report(f"{self.desc or 'loading'} {100 * self.n / self.total:.0f} %")
            return updated

    return Progress
