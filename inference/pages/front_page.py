"""``GET /``, and ``GET /pipelines/{name}``: what runs here and how to call it."""

import re
from typing import Any

import msgspec

from inference.api.scope import PIPELINES
from inference.messaging.messages import Description
from inference.pages.modules import needed
from inference.pages.page import Page
from inference.pages.playground_form import described, summary
from inference.serving.pipeline_state import PipelineState
from inference.tasks import TASKS
from inference.tasks.media import EXAMPLE_IMAGE, EXAMPLE_RECORDING

FILES = {EXAMPLE_IMAGE: "photo.jpg", EXAMPLE_RECORDING: "speech.wav"}
"""What a reader has in the place of an example."""
_PERCENT = re.compile(r"(\d+) %")


class FrontPage(Page):
    """All pipelines; how to call the default one, or that of the path."""

    async def respond(self) -> None:
        catalog = self.deployment.catalog
        spec = catalog.find(self.scope.get("pipeline") or catalog.default.name) or catalog.default
        name = spec.name
        served, states = self.service.dispatcher.pipelines[name], self.deployment.states()
        await self.answer_page(
            "inference/pages/front.html",
            {
                "here": "front",
                "cards": [(state, percent(state), summary(state.task)) for state in states],
                "description": served.description,
                "pipeline": name,
                "path": f"{PIPELINES}{name}" if self.scope.get("pipeline") else "/",
                "unready": self.service.unready(name),
                "different": self.service.different(name),
                "http": self.url,
                "socket": re.sub("^http", "ws", self.url) + "/ws/",
                "conf": self.service.conf,
                "key_needed": self.service.access.required,
                "most_body_bytes": self.service.most_body_bytes(name),
                **_example(served.description),
                "scripts": needed("front.js"),
                "called": described(
                    self.deployment,
                    spec,
                    root=self.root,
                    key_needed=self.service.access.required,
                    most_bytes=self.service.most_body_bytes(name),
                ),
            },
        )


def percent(state: PipelineState) -> int | None:
    """How far it has come with what it says that it does, where that says it."""
    found = _PERCENT.search(state.reason) if state.state == "loading" else None
    return int(found[1]) if found else None


def _without_media(text: str) -> str:
    for data in FILES:
        text = text.replace(data, "…base64…")
    return text


def _example(description: Description | None) -> dict[str, Any]:
    if description is None:
        return {}
    task = TASKS[description.task]
    example = task.example_for(description.mask_token)
    return {
        "task": task,
        "streams": description.streams and description.beams == 1,
        "plain_example": example if task.input.plain and not task.needs_parameters else "",
        "file_example": FILES.get(example, "") if isinstance(example, str) and not task.needs_parameters else "",
        "example_json": _without_media(msgspec.json.encode(example).decode()),
        "parameters_json": msgspec.json.encode(task.example_parameters).decode(),
    }
