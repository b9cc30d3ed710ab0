"""Names of torch and transformers that this package uses although no release promises to keep them.

They are looked up when a worker loads. Without a name that all pipelines need, the load fails; without one that a
faster way needs, that way is left out. This module itself imports neither library.
"""

from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

TESTED = {"torch": "2.13.0", "transformers": "5.23.0"}
"""Versions that the tests run with: those of requirements.txt."""

PIPELINES = "pipelines"
HALF_PRECISION = "half precision on a CPU"
PACKED_LAYERS = "packed linear layers"
QUANTIZED_LAYERS = "linear layers with weights of 8 bits"
HALF_WEIGHTS = "weights of 16 bits for layers in float32"
NO_PADDING = "batches without padding"
DECISIONS = "decisions in batches"
COMPILED_STEPS = "compiled steps of generated texts"
CONTINUOUS_BATCHING = "continuous batching of generated texts"
SEQ2SEQ = "continuous batching of encoder-decoder models"

_ATTENTION = (
    "transformers.AttentionInterface",
    "transformers.PreTrainedModel.set_attn_implementation",
    "transformers.PreTrainedConfig._attn_implementation",
)
NAMES: dict[str, tuple[str, ...]] = {
    PIPELINES: (
        "transformers.pipelines.base.Pipeline._sanitize_parameters",
        "transformers.pipelines.base.PipelineException",
    ),
    HALF_PRECISION: ("torch.cpu.get_capabilities",),
    PACKED_LAYERS: (
        "torch.ops.mkldnn._reorder_linear_weight",
        "torch.ops.mkldnn._linear_pointwise",
        "transformers.activations.GELUActivation",
        "transformers.pytorch_utils.Conv1D",
    ),
    QUANTIZED_LAYERS: (
        "torch.cpu.get_capabilities",
        "torch.ops.quantized.linear_prepack",
        "torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32",
        "transformers.pytorch_utils.Conv1D",
    ),
    HALF_WEIGHTS: (
        "torch.ops.quantized.linear_prepack_fp16",
        "torch.ops.quantized.linear_unpack_fp16",
        "torch.ops.quantized.linear_dynamic_fp16",
        "torch.backends.quantized.engine",
    ),
    NO_PADDING: _ATTENTION,
    DECISIONS: (
        "transformers.decision.label_token_ids",
        "transformers.decision.modeling_utils.process_scores",
        "transformers.DecisionPipeline",
    ),
    COMPILED_STEPS: ("torch.jit.script", "torch.jit.optimized_execution"),
    CONTINUOUS_BATCHING: (
        *_ATTENTION,
        "transformers.AttentionMaskInterface",
        "transformers.integrations.sdpa_attention.sdpa_attention_forward",
        "transformers.masking_utils.sdpa_mask",
        "transformers.pipelines.base.Pipeline._prepare_generate_kwargs",
        "transformers.utils.chat_template_utils.Chat",
        "transformers.GenerationMixin._prepare_generation_config",
        "transformers.GenerationMixin._prepare_special_tokens",
        "transformers.GenerationMixin._get_logits_processor",
    ),
    SEQ2SEQ: (
        "transformers.cache_utils.Cache",
        "transformers.cache_utils.DynamicCache",
        "transformers.cache_utils.DynamicLayer",
        "transformers.cache_utils.EncoderDecoderCache",
    ),
}
"""By what needs them."""
PIPELINE_ATTRIBUTES = ("_preprocess_params", "_forward_params", "_postprocess_params")
"""Of a pipeline object."""
SPEECH_ATTRIBUTES, GENERATING_ATTRIBUTES = ("_align_to",), ("_generation_defaults",)
"""Of one that recognises speech, and of one whose model generates."""
SET_BY_US = ("_reorder_cache",)
"""Which ``generate`` calls where a model has it; without it, beam search copies more than it needs."""


class Missing(RuntimeError):
    """A name that the installed library does not have; the message is one sentence."""


def check(user: str) -> None:
    """Raises ``Missing`` if a name that ``user``, a key of ``NAMES``, needs is not there."""
    for name in NAMES[user]:
        lookup(name)


def check_pipeline(pipe: Any, attributes: Sequence[str] | None = None) -> None:
    """Raises ``Missing`` if a pipeline object lacks one of these, by default of ``PIPELINE_ATTRIBUTES``."""
    for attribute in PIPELINE_ATTRIBUTES if attributes is None else attributes:
        if not hasattr(pipe, attribute):
            raise Missing(_sentence(f"transformers.{type(pipe).__name__}.{attribute}"))


def lookup(name: str) -> Any:
    """What a dotted name stands for; its modules are imported. Raises ``Missing``, or what the import raises."""
    first, *others = name.split(".")
    try:
        found, path = import_module(first), first
        for part in others:
            path = f"{path}.{part}"
            found = getattr(found, part) if hasattr(found, part) else import_module(path)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise Missing(_sentence(name)) from None
        raise
    return found


def _sentence(name: str) -> str:
    library = name.partition(".")[0]
    try:
        return f"{library} {version(library)} has no {name}; install {library} {TESTED[library]}, which is tested."
    except PackageNotFoundError:
        tested = f"install {library} {TESTED[library]}, which is tested"
        return f"{library} is not installed; {tested}, or django-inference-server[worker], which brings it."
