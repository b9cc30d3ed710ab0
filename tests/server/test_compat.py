import ast
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from twisted.web.http import HTTPChannel

from inference import checks
from inference.server import compat, hooks
from tests.processes import ROOT

PACKAGE = Path(compat.__file__).parent
LISTED = {name for use in compat.USES for name in use.names.split()}
SUBCLASSES = {
    "http_limits": "twisted.web.http:HTTPChannel",
    "http_connection": "twisted.web.http:HTTPChannel",
    "http_request": "daphne.http_protocol:WebRequest",
    "websocket": "daphne.ws_protocol:WebSocketProtocol",
}
"""Modules of this package with a subclass, and the base."""
DOCUMENTED = {
    *("callLater", "connectionLost", "dataReceived", "factory", "getPeer", "loseConnection", "pauseProducing"),
    *(
        "resetTimeout",
        "resumeProducing",
        "setTimeout",
        "transport",
        "unregisterProducer",
        "write",
        "writeHeaders",
        "writeSequence",
    ),
    *("onClose", "onConnect", "onMessage", "path"),
}
"""Names in the documentation of Twisted and autobahn."""


def source(module: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{module}.py").read_text())


def names_in(tree: ast.AST) -> set[str]:
    """Attributes that are used, and functions that are defined."""
    nodes = list(ast.walk(tree))
    return {node.attr for node in nodes if isinstance(node, ast.Attribute)} | {
        node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_name_is_there() -> None:
    assert compat.missing() == []


def test_the_tested_versions_are_those_that_are_pinned() -> None:
    pins = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    libraries = {library: version for library, version in compat.TESTED.items() if library != "Python"}
    assert {library.lower(): version for library, version in libraries.items()} == {
        library.lower(): pins[library.lower()] for library in libraries
    }
    assert f'python_version = "{compat.TESTED["Python"]}"' in (ROOT / "pyproject.toml").read_text()


def test_a_method_that_is_gone_is_reported_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(HTTPChannel, "_respondToBadRequestAndDisconnect")
    assert compat.missing() == [
        f"Twisted {metadata.version('twisted')} has no twisted.web.http.HTTPChannel._respondToBadRequestAndDisconnect, "
        "which is needed for the limits on the size and speed of requests; the versions that were tested are "
        "Daphne 4.2.3, Twisted 26.10.0, autobahn 26.10.2, Python 3.11."
    ]


class Owner:
    def method(self, other: Any) -> None:
        self.assigned = other.read


@pytest.mark.parametrize(
    ("owner", "name", "there"),
    [
        (f"{__name__}:Owner", "method", True),
        (f"{__name__}:Owner", "assigned", True),
        (f"{__name__}:Owner", "read", False),
        (f"{__name__}:Owner.method", "read", True),
        (f"{__name__}:Owner.method", "assigned", True),
        (f"{__name__}:Owner.method", "no_such_name", False),
        (f"{__name__}:NoSuchOwner", "method", False),
        (__name__, "Owner", True),
        ("no_such_module", "name", False),
    ],
)
def test_a_name_is_an_attribute_or_assigned_by_a_method_or_used_by_a_function(
    monkeypatch: pytest.MonkeyPatch, owner: str, name: str, there: bool
) -> None:
    monkeypatch.setattr(compat, "USES", [compat.Use(owner, "this test", name)])
    assert (not compat.missing()) == there


def test_the_system_check_reports_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(HTTPChannel, "_respondToBadRequestAndDisconnect")
    (found,) = checks.run()
    assert (found.id, found.msg) == ("inference.E011", compat.missing()[0])
    assert found.is_serious()


def test_the_system_check_is_for_projects_with_daphne(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.delattr(HTTPChannel, "_respondToBadRequestAndDisconnect")
    settings.INSTALLED_APPS = [name for name in settings.INSTALLED_APPS if name != "daphne"]
    assert checks.run() == []


def test_a_server_does_not_start_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(HTTPChannel, "_respondToBadRequestAndDisconnect")

    async def drain(_: object) -> None: ...

    monkeypatch.setattr(hooks, "_installed", False)
    hooks.install(lambda: None, drain)  # another server, beside which Daphne is installed
    monkeypatch.setitem(sys.modules, "daphne.cli", ModuleType("daphne.cli"))
    with pytest.raises(SystemExit, match=r"has no twisted\.web\.http\.HTTPChannel\._respondToBadRequestAndDisconnect"):
        hooks.install(lambda: None, drain)


def test_looking_them_up_installs_no_reactor_and_imports_no_torch() -> None:
    script = (
        "import sys; from inference.server import compat; assert not {'twisted', 'daphne'} & set(sys.modules); "
        "compat.missing(); assert not {'torch', 'twisted.internet.reactor'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


@pytest.mark.parametrize("module", SUBCLASSES)
def test_names_of_a_base_class_that_are_used_or_overridden_are_listed(module: str) -> None:
    """Among them are names that a subclass would override without knowing."""
    names = {name for name in names_in(source(module)) - LISTED - DOCUMENTED if not name.startswith("__")}
    assert {name for name in names if compat._has(SUBCLASSES[module], name)} == set()


@pytest.mark.parametrize("module", sorted(path.stem for path in PACKAGE.glob("*.py")))
def test_private_names_of_other_objects_are_listed(module: str) -> None:
    accessed = [node for node in ast.walk(source(module)) if isinstance(node, ast.Attribute)]
    of_others = {node.attr for node in accessed if ast.unparse(node.value) not in ("self", "super()", "os")}
    private = {name for name in of_others if name.startswith("_") and not name.startswith("__")}
    assert private <= LISTED


def test_private_names_on_self_are_this_packages_own_or_listed() -> None:
    for module in SUBCLASSES:
        tree = source(module)
        used = {name for name in names_in(tree) if name.startswith("_") and not name.startswith("__")}
        own = {name for name in used if any(name in names_of_own(source(other)) for other in SUBCLASSES)}
        assert used <= own | LISTED, module


def names_of_own(tree: ast.AST) -> set[str]:
    """Methods, and attributes that an ``__init__`` assigns."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    stored = [
        node
        for function in functions
        if function.name == "__init__"
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    ]
    return {function.name for function in functions} | {node.attr for node in stored}


def test_every_listed_name_is_used() -> None:
    text = "".join(path.read_text() for path in PACKAGE.glob("*.py") if path.stem != "compat")
    assert {name for name in LISTED if not re.search(rf"\b{name}\b", text)} == set()
