"""text2text-generation: token by token for many texts at once, or else one text after the other."""

from inference.backends.base import BatchedPipeline
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.seq2seq.self_check import continuous
from inference.backends.transformers.seq2seq.whole import WholeTexts
from inference.backends.transformers.task import Report, TransformersTask
from inference.conf import Conf


def build(loaded: Loaded, conf: Conf, report: Report) -> BatchedPipeline:
    return continuous(loaded, conf, report) or WholeTexts(loaded, conf)


WARM_UP = {"max_new_tokens": 2, "seed": 0, "truncate": True}
CALLS = [{"max_new_tokens": tokens, "min_length": tokens, "num_beams": 1} for tokens in (2, 16)]
"""Texts that end after exactly so many tokens: what a step of the model costs shows in the difference."""

TASK = TransformersTask(
    auto_class="AutoModelForSeq2SeqLM",
    architectures=(
        "T5ForConditionalGeneration",
        "BartForConditionalGeneration",
        "BlenderbotForConditionalGeneration",
        "BlenderbotSmallForConditionalGeneration",
        "ProphetNetForConditionalGeneration",
        "SwitchTransformersForConditionalGeneration",
        "T5GemmaForConditionalGeneration",
    ),
    has_pipeline=False,
    build=build,
    warm_up_parameters=WARM_UP,
    call_parameters=CALLS,
)
