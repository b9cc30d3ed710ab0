import sys
from types import ModuleType

import pytest

from inference.backends.base import LoadFailed
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


@pytest.mark.parametrize("name", ["inference.backends.other", "no_such_package.backend", "inference.errors", ".errors"])
def test_what_is_no_backend_is_one_sentence(name: str):
    sentence = rf"^INFERENCE_BACKEND is '{name}', which is no backend \(.*\); it must be .*\.$"
    with pytest.raises(LoadFailed, match=sentence):
        load(Conf(backend=name), print)
