"""docs/clients.md says what the code says; ``make test-clients`` runs its blocks."""

from pathlib import Path

from inference.api.dialects import registry
from inference.api.dialects.openai.fields import IGNORED

PAGE = (Path(__file__).parents[1] / "docs" / "clients.md").read_text()


def rows() -> list[str]:
    """Of the table of all paths."""
    found = []
    for dialect in registry.served():
        told = [(endpoint.method, endpoint) for endpoint in dialect.endpoints]
        told += [(method, resource) for resource in dialect.resources for method in resource.methods]  # type: ignore[misc]
        for method, each in told:
            if (doc := each.doc(None)) is not None:
                found.append(f"| `{method} {each.path}` | {dialect.name} | {doc.summary} |")
        found += [f"| `WebSocket {path}` | {dialect.name} | |" for path in dialect.sockets]
    return found


def test_the_page_has_every_path():
    table = PAGE.partition("## Every path\n")[2].partition("\n## ")[0]
    assert [line for line in table.splitlines() if line.startswith("| `")] == rows()


def test_the_page_names_what_has_no_effect_at_openai():
    told = PAGE.partition("Ignored, since they change no answer:")[2].partition(". ")[0]
    assert {name.strip(" `\n") for name in told.split(",")} == IGNORED | {"parallel_tool_calls"}
