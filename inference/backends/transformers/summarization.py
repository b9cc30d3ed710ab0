"""summarization: as text2text-generation."""

from inference.backends.transformers.task import TransformersTask
from inference.backends.transformers.text2text_generation import CALLS, WARM_UP, build

TASK = TransformersTask(
    auto_class="AutoModelForSeq2SeqLM",
    architectures=(
        "PegasusForConditionalGeneration",
        "PegasusXForConditionalGeneration",
        "LEDForConditionalGeneration",
    ),
    has_pipeline=False,
    build=build,
    warm_up_parameters=WARM_UP,
    call_parameters=CALLS,
)
