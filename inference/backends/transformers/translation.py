"""translation: as text2text-generation, with languages."""

from inference.backends.transformers.task import TransformersTask
from inference.backends.transformers.text2text_generation import CALLS, WARM_UP, build

TASK = TransformersTask(
    auto_class="AutoModelForSeq2SeqLM",
    architectures=(
        "MTModel",
        "MarianMTModel",
        "MBartForConditionalGeneration",
        "M2M100ForConditionalGeneration",
        "NllbMoeForConditionalGeneration",
        "FSMTForConditionalGeneration",
    ),
    has_pipeline=False,
    build=build,
    warm_up_parameters=WARM_UP | {"tgt_lang": ""},  # any: no client can send an empty one
    call_parameters=[call | {"tgt_lang": ""} for call in CALLS],
)
