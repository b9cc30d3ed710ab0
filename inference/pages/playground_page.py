"""``GET /playground`` and ``GET /playground/{name}``: a form for a pipeline, which scripts make from its description.

Where callers need a key, a browser has none to send for a page. Whoever sends none gets a page that says nothing of
what there is, the same for each name; its scripts ask for a key, and read this address again with it.
"""

from collections.abc import Iterator
from typing import Any

from inference.access import credentials
from inference.access.checking import Caller
from inference.api.http import HttpConsumer
from inference.api.staff import is_staff
from inference.errors import NotFound, Unauthorized
from inference.pages.modules import needed
from inference.pages.page import Page
from inference.pages.playground_form import described
from inference.serving.service import no_pipeline

TEMPLATE = "inference/playground/page.html"
SCRIPT = "playground/main.js"


class PlaygroundPage(Page):
    """The name in the path is not the router's to look up: it says to everybody which there are not."""

    _offers_key = False
    _asks_for_key = False

    def identify(self, offered: credentials.Keys) -> Caller:
        self._offers_key = bool(offered)
        return super().identify(offered)

    async def admit(self, caller: Caller) -> None:
        if self._offers_key:  # by a script, to which nothing need be said of logging in
            await HttpConsumer.admit(self, caller)
        elif isinstance(caller, Unauthorized) and not await is_staff(self.scope):
            self._asks_for_key = True
        else:
            await super().admit(caller)

    async def respond(self) -> None:
        description = {"key_needed": True, "root": self.root} if self._asks_for_key else self._described()
        scripts = needed(*_scripts(description))
        await self.answer_page(TEMPLATE, {"here": "playground", "description": description, "scripts": scripts})

    def _described(self) -> dict[str, Any]:
        """Raises ``NotFound``."""
        asked = "/".join((self.scope.get("arguments") or {}).values())  # an alias may have a slash
        catalog = self.deployment.catalog
        spec = catalog.find(asked) if asked else catalog.default
        if spec is None:
            raise NotFound(no_pipeline(catalog, asked))
        return described(
            self.deployment,
            spec,
            root=self.root,
            key_needed=self.service.access.required,
            most_bytes=self.service.most_body_bytes(spec.name),
        )


def _scripts(description: dict[str, Any]) -> Iterator[str]:
    """Those that the page loads in any case, its first answer included."""
    yield SCRIPT
    if "input" not in description:
        return
    yield f"playground/inputs/{description['input']['form']}.js"
    if not description["chat"]:
        yield "playground/answers/index.js"
        yield f"playground/answers/{description['output']}.js"
        if description["streams"]:
            yield "playground/answers/tokens.js"
