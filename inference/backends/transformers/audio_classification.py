"""audio-classification."""

from transformers.models.auto.modeling_auto import MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES

from inference.backends.transformers.recording_task import RecordingTask, numbers
from inference.backends.transformers.stacked import StackedJob
from inference.backends.transformers.task import TransformersTask
from inference.errors import Invalid
from inference.messaging.messages import Job

MOST_NUMBERS = 2**20
"""Of one input: 65 s for models that read samples. Their time grows with the square of it, and they run it in one pass;
spectrograms are of a fixed size."""


class Classification(RecordingTask):
    def prepared(self, job: Job) -> StackedJob:
        item = super().prepared(job)
        if numbers(item) > MOST_NUMBERS:
            allowed = MOST_NUMBERS // self.rate
            raise Invalid(
                f"The recording has {numbers(item) / self.rate:.0f} s; this model takes at most {allowed} s at once."
            )
        return item


TASK = TransformersTask(
    auto_class="AutoModelForAudioClassification",
    architectures=tuple(MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES.values()),
    parts=("feature_extractor",),
    stacked=Classification,
)
