"""image-text-to-text: whole answers, one after the other.

Continuous batching (``generation``) packs the tokens of many texts end to end, one position for each. Models with
images replace some tokens by what an encoder makes of the image, and many count positions in two dimensions there; each
family does it in its own way, inside its forward pass.
"""

from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from inference.backends.base import BatchedPipeline, LoadFailed
from inference.backends.transformers import compat
from inference.backends.transformers.encoder import to_json
from inference.backends.transformers.images import read_image
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.rows import Row, check_length, check_room
from inference.backends.transformers.task import Report, TransformersTask
from inference.backends.transformers.unbatched import GenerationJob, UnbatchedTextGeneration
from inference.conf import Conf
from inference.errors import Invalid
from inference.messaging.messages import Job


@dataclass(eq=False, slots=True)
class ImageChatJob(GenerationJob):
    inputs: Any = None
    """Of the model: the prompt's tokens and the images."""


class ImageChat(UnbatchedTextGeneration):
    """``preprocess`` uses the processor of the pipeline, on the tokenizer's thread; ``run`` only decodes with it."""

    def _prepare(self, job: Job) -> ImageChatJob:
        chat = compat.lookup("transformers.utils.chat_template_utils.Chat")
        try:
            inputs = self._pipe.preprocess(chat([_with_images(message) for message in job.input]))
        except TemplateError as error:
            raise Invalid(f"The model's chat template does not take these messages: {error}.") from error
        item = ImageChatJob(job, [Row({"input_ids": inputs["input_ids"][0].tolist()})], inputs=dict(inputs))
        check_length(item.prompt_tokens, self.description.longest_input)
        wanted = job.parameters.get("max_new_tokens")
        room = check_room(item.prompt_tokens, wanted, self.description.longest_input)
        new_tokens = wanted or min(self._default_new_tokens(item.prompt_tokens), room)
        item.postprocess["max_new_tokens"] = new_tokens
        item.count(new_tokens)
        return item

    def answer(self, item: Any, parameters: dict[str, Any]) -> bytes:
        outputs = self._pipe.forward(dict(item.inputs), generate_kwargs=parameters)
        [result] = self._pipe.postprocess(outputs, **self._pipe._sanitize_parameters(return_full_text=False)[2])
        return to_json([{"generated_text": result["generated_text"]}])


def _with_images(message: dict[str, Any]) -> dict[str, Any]:
    parts = [
        part | {"image": read_image(part["image"])} if part["type"] == "image" else part for part in message["content"]
    ]
    return message | {"content": parts}


def build(loaded: Loaded, conf: Conf, report: Report) -> BatchedPipeline:
    if not loaded.pipe.processor.chat_template:
        raise LoadFailed(f"{loaded.name} has no chat template; image-text-to-text needs a model that answers chats.")
    return ImageChat(loaded)


TASK = TransformersTask(
    auto_class="AutoModelForImageTextToText",
    parts=("processor",),
    build=build,
    warm_up_parameters={"max_new_tokens": 2, "seed": 0},
    call_parameters=[{"max_new_tokens": tokens, "min_new_tokens": tokens} for tokens in (2, 16)],
)
