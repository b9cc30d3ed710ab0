import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from inference.backends.base import LoadFailed, T, at_once
from inference.backends.loading import load
from inference.conf import Conf


def test_the_backend_of_the_setting_loads(monkeypatch: pytest.MonkeyPatch):
    backend = ModuleType("a_backend")
    called_with: list[object] = []
    vars(backend)["load"] = lambda *given: called_with.extend(given)
    monkeypatch.setitem(sys.modules, "a_backend", backend)
    conf = Conf(backend="a_backend")
    load(conf, print)
    assert called_with == [conf, print]


def test_a_backend_that_measures_gets_turns_for_it(monkeypatch: pytest.MonkeyPatch):
    backend = ModuleType("a_backend")
    called_with: list[object] = []
    vars(backend)["load"] = lambda conf, report, turn: called_with.extend((conf, report, turn))
    monkeypatch.setitem(sys.modules, "a_backend", backend)
    conf, turns = Conf(backend="a_backend"), Turns()
    load(conf, print, turns)
    load(conf, print)
    assert called_with == [conf, print, turns, conf, print, at_once]


class Turns:
    def __call__(self, call: Callable[[], T]) -> T:
        return call()


@pytest.mark.parametrize("name", ["inference.backends.other", "no_such_package.backend", "inference.errors", ".errors"])
def test_what_is_no_backend_is_one_sentence(name: str):
    sentence = rf"^INFERENCE_BACKEND is '{name}', which is no backend \(.*\); it must be .*\.$"
    with pytest.raises(LoadFailed, match=sentence):
        load(Conf(backend=name), print)
