"""Tasks whose input is a recording."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.recordings import read_recording
from inference.backends.transformers.stacked import Stacked, StackedJob
from inference.conf import Conf
from inference.messaging.messages import Job

T = TypeVar("T")

PASS_NUMBERS = 2**21
"""Numbers that go into a forward pass together, unless one input has more: 131 s at 16,000 samples a second. The first
layers of models that read samples keep 400 bytes of each."""
CPU_PASS_NUMBERS = 2**15
"""The same on a CPU: 2 s. Longer recordings keep it busy by themselves, and together they do not fit its caches."""


class RecordingTask(Stacked):
    """Whatever preprocessing makes of a recording: samples, or a spectrogram."""

    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        super().__init__(loaded, conf)
        self._longest_s = conf.max_audio_s

    @property
    def rate(self) -> int:
        """Samples a second that the model was trained with."""
        return int(self._pipe.feature_extractor.sampling_rate)

    def read(self, job: Job) -> Any:
        return read_recording(job.input, self.rate, self._longest_s)

    def together(self, item: StackedJob) -> int:
        """How many inputs of this shape go through the model at once."""
        most = CPU_PASS_NUMBERS if self._pipe.device.type == "cpu" else PASS_NUMBERS
        return max(1, most // numbers(item))

    def forward(self, group: Sequence[StackedJob]) -> list[Any]:
        parts = divided(group, self.together(group[0]))
        return [outputs for part in parts for outputs in super(RecordingTask, self).forward(part)]


def numbers(item: StackedJob) -> int:
    """Of its largest tensor."""
    return max(tensor.numel() for tensor in item.tensors.values())


def divided(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    return (items[start : start + most] for start in range(0, len(items), most))
