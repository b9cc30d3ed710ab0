"""The scripts and styles of the playground in a page without a server, for tests of what they show."""

import base64
from typing import TYPE_CHECKING, Any

from inference.pages.assets import assets
from inference.pages.page import PAGE_POLICY

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

ORIGIN = "http://localhost"
"""Browsers give cameras and microphones to pages of this machine."""
DOCUMENT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Modules</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="/pages.css"><link rel="stylesheet" href="/playground/answers.css">
<main><h1>Modules</h1></main>"""
AS_BLOBS = """
  const { asBlob } = await import("/playground/media/blobs.js");
  const blobs = (value) => {
    if (asBlob(value)) return asBlob(value);
    if (Array.isArray(value)) return value.map(blobs);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, blobs(each)]));
  };
"""
"""Images and recordings in inputs are blobs in the page, and base64 here."""
SECTION = """
  const section = (name, made) => {
    const section = document.createElement("section");
    section.className = "card";
    section.ariaLabel = name;
    section.append(made);
    document.querySelector("main").append(section);
  };
"""

GIVE = """async ([selector, type, files]) => {
  const data = new DataTransfer();
  for (const [name, kind, content] of files) {
    const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
    data.items.add(new File([bytes], name, { type: kind }));
  }
  const [Kind, property] = type === "paste" ? [ClipboardEvent, "clipboardData"] : [DragEvent, "dataTransfer"];
  const event = new Kind(type, { bubbles: true, cancelable: true, [property]: data });
  document.querySelector(selector).dispatchEvent(event);
  return event.defaultPrevented;
}"""


def open_modules(page: "Page") -> None:
    files = {f"{ORIGIN}/{asset.name}": asset for asset in assets()}

    def answer(route: "Route") -> None:
        if (asset := files.get(route.request.url)) is None:
            route.fulfill(
                body=DOCUMENT, headers={"content-type": "text/html", "content-security-policy": PAGE_POLICY.decode()}
            )
        else:
            route.fulfill(body=asset.content, headers={"content-type": asset.type.decode()})

    page.route("**/*", answer)
    page.goto(f"{ORIGIN}/")


def show_answers(page: "Page", answers: dict[str, dict[str, Any]]) -> None:
    """Each in a section that is labelled with its name."""
    page.evaluate(
        f"""async (answers) => {{ {AS_BLOBS} {SECTION}
          const {{ render }} = await import("/playground/answers/index.js");
          for (const [name, {{ output, inputs, ...asked }}] of Object.entries(answers))
            section(name, await render(output, {{ ...asked, inputs: blobs(inputs) }}));
        }}""",
        answers,
    )


def show_input(page: "Page", name: str, description: dict[str, Any]) -> None:
    """A form in a section; ``forms[name]`` in the page is it."""
    page.evaluate(
        f"""async ([name, description]) => {{ {SECTION}
          const {{ create }} = await import(`/playground/inputs/${{description.input.form}}.js`);
          window.forms ??= {{}};
          window.forms[name] = create({{ description, changed() {{}} }});
          section(name, window.forms[name].element);
        }}""",
        [name, description],
    )


def give(page: "Page", selector: str, how: str, *files: tuple[str, str, bytes]) -> bool:
    """Drops or pastes files, by name, type and content, onto what the selector finds. Whether the page takes them."""
    sent = [[name, kind, base64.b64encode(data).decode()] for name, kind, data in files]
    taken: bool = page.evaluate(GIVE, [selector, how, sent])
    return taken
