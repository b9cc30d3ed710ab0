"""``GET /``, and ``GET /pipelines/{name}``: what runs here and how to call it."""

from typing import Any

import msgspec
from django.template.loader import render_to_string

from inference.api.scope import PIPELINES, header
from inference.messaging.messages import Description
from inference.pages.page import Page, admin_path
from inference.tasks import TASKS
from inference.tasks.media import EXAMPLE_IMAGE, EXAMPLE_RECORDING

FILES = {EXAMPLE_IMAGE: "photo.jpg", EXAMPLE_RECORDING: "speech.wav"}
"""What a reader has in the place of an example."""


class FrontPage(Page):
    """Of the default pipeline, or of the one in the path; with a list of all where there are several."""

    async def respond(self) -> None:
        name = self.scope.get("pipeline") or self.deployment.catalog.default.name
        served, states = self.service.dispatcher.pipelines[name], self.deployment.states()
        address = (header(self.scope, b"host") or "localhost:8000") + self.scope.get("root_path", "")
        context = {
            "description": served.description,
            "pipeline": name,
            "path": f"{PIPELINES}{name}" if self.scope.get("pipeline") else "/",
            "states": states,
            "progress": next((state.reason for state in states if state.name == name), ""),
            "workers": len(served.serving()),
            "unready": self.service.unready(name),
            "different": self.service.different(name),
            "address": address,
            "root": self.scope.get("root_path", ""),
            "admin": admin_path(),
            "conf": self.service.conf,
            "most_body_bytes": self.service.most_body_bytes(name),
            **_example(served.description),
        }
        page = render_to_string("inference/front_page.html", context).encode()
        await self.answer_page(page)


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
        "plain_example": example if task.input.plain and not task.needs_parameters else "",
        "file_example": FILES.get(example, "") if isinstance(example, str) and not task.needs_parameters else "",
        "example_json": _without_media(msgspec.json.encode(example).decode()),
        "parameters_json": msgspec.json.encode(task.example_parameters).decode(),
    }
