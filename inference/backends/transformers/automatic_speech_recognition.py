"""automatic-speech-recognition: models that generate text, and those that say a character for each moment."""

import msgspec
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CTC_MAPPING_NAMES,
    MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
)

from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.speech import Speech
from inference.backends.transformers.speech_ctc import CTC
from inference.backends.transformers.speech_generation import SpeechToText
from inference.backends.transformers.speech_whisper import Whisper
from inference.backends.transformers.speech_windows import WindowedWhisper, windows_are_independent
from inference.backends.transformers.task import TransformersTask
from inference.conf import Conf

CTC_MODELS = tuple(MODEL_FOR_CTC_MAPPING_NAMES.values())


def speech(loaded: Loaded, conf: Conf) -> Speech:
    made = speech_of(loaded, conf)
    made.description = msgspec.structs.replace(made.description, abilities=made.abilities())
    return made


def speech_of(loaded: Loaded, conf: Conf) -> Speech:
    model = loaded.pipe.model
    if type(model).__name__ in CTC_MODELS:
        return CTC(loaded, conf)
    if model.config.model_type != "whisper":
        return SpeechToText(loaded, conf)
    return WindowedWhisper(loaded, conf) if windows_are_independent(model) else Whisper(loaded, conf)


TASK = TransformersTask(
    auto_class="AutoModelForSpeechSeq2Seq",
    auto_classes=dict.fromkeys(CTC_MODELS, "AutoModelForCTC"),
    architectures=(*CTC_MODELS, *MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES.values()),
    parts=("tokenizer", "feature_extractor"),
    encodes=False,
    stacked=speech,
)
