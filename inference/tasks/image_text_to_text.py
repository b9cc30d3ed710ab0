"""image-text-to-text: the answer to a chat with images."""

from inference.tasks.base import Task
from inference.tasks.inputs import ImageChatInput
from inference.tasks.media import EXAMPLE_IMAGE
from inference.tasks.text_generation import GENERATION

TASK = Task(
    name="image-text-to-text",
    summary="The answer to a chat with images.",
    input=ImageChatInput(),
    output="text",
    parameters=GENERATION,
    forward=frozenset(GENERATION),
    samples=True,
    example=[
        {
            "role": "user",
            "content": [{"type": "image", "image": EXAMPLE_IMAGE}, {"type": "text", "text": "What is this?"}],
        }
    ],
    example_parameters={"max_new_tokens": 8},
)
