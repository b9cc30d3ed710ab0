"""Names of the model libraries that may go with their next release: what needs one is left out, in one sentence."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks

from inference import checks
from inference.backends.transformers import backend, compat
from inference.conf import BUNDLED_MODEL, Conf
from tests.backends.transformers.running import assert_equal, direct, load, plain, run
from tests.processes import ROOT

GONE = "transformers.pipelines.base.gone"
SENTENCE = r"transformers \S+ has no {}; install transformers 5\.23\.0, which is tested\."
FOLDER = Path(compat.__file__).parent


@pytest.fixture
def lose(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a part of the package need a name that does not exist."""

    def lose(user: str) -> None:
        monkeypatch.setitem(compat.NAMES, user, (*compat.NAMES[user], GONE))

    return lose


def test_the_tested_versions_are_those_that_are_installed_by_default():
    pins = dict(re.findall(r"^(\w+)==([\d.]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    assert {name: pins[name] for name in compat.TESTED} == compat.TESTED


@pytest.mark.parametrize("user", compat.NAMES)
def test_all_names_are_there(user: str):
    compat.check(user)


def test_every_private_name_that_is_used_is_looked_up():
    """Attributes with an underscore, of anything but ``self``."""
    looked_up = {name.rpartition(".")[2] for names in compat.NAMES.values() for name in names}
    looked_up |= {*compat.PIPELINE_ATTRIBUTES, *compat.SPEECH_ATTRIBUTES}
    looked_up |= {*compat.GENERATING_ATTRIBUTES, *compat.SET_BY_US}
    used = {
        node.attr: f"{path.name}:{node.lineno}"
        for path in FOLDER.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr) and not is_own(node.value)
    }
    assert {name: used[name] for name in used if name not in looked_up} == {}


def is_own(value: ast.expr) -> bool:
    return isinstance(value, ast.Name | ast.Call) and ast.unparse(value) in ("self", "super()")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("transformers.pipelines.base.gone", SENTENCE.format(r"transformers\.pipelines\.base\.gone")),
        ("transformers.gone.name", SENTENCE.format(r"transformers\.gone\.name")),
        ("transformers.PreTrainedModel._gone", SENTENCE.format(r"transformers\.PreTrainedModel\._gone")),
        (
            "torch.ops.mkldnn._gone",
            r"torch \S+ has no torch\.ops\.mkldnn\._gone; install torch 2\.13\.0, which is tested\.",
        ),
    ],
)
def test_a_name_that_is_not_there_is_named_with_the_version_that_has_it(name: str, sentence: str):
    with pytest.raises(compat.Missing) as raised:
        compat.lookup(name)
    assert re.fullmatch(sentence, str(raised.value))


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(compat.TESTED, "no_such_library", "1.0")
    with pytest.raises(compat.Missing, match=r"^no_such_library is not installed; install no_such_library 1\.0, which"):
        compat.lookup("no_such_library.name")


# A worker that loads


def test_without_a_name_that_pipelines_need_nothing_is_loaded(lose: Callable[[str], None]):
    lose(compat.PIPELINES)
    with pytest.raises(backend.LoadFailed, match=SENTENCE.format(re.escape(GONE))):
        backend.load(Conf(), lambda progress: None)


def test_without_an_attribute_that_pipelines_have_nothing_is_loaded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(compat, "PIPELINE_ATTRIBUTES", ("_gone",))
    with pytest.raises(backend.LoadFailed, match=SENTENCE.format(r"transformers\.FillMaskPipeline\._gone")):
        backend.load(Conf(), lambda progress: None)


def test_half_precision_that_cannot_be_judged_is_refused(lose: Callable[[str], None]):
    lose(compat.HALF_PRECISION)
    with pytest.raises(backend.LoadFailed, match=SENTENCE.format(re.escape(GONE))):
        load(BUNDLED_MODEL, dtype="bfloat16", device="cpu")


@pytest.mark.parametrize(
    ("user", "said"),
    [
        (compat.PACKED_LAYERS, "Linear layers stay unpacked"),
        (compat.NO_PADDING, "fill_mask pads its batches"),
    ],
)
def test_an_encoder_runs_without_what_is_faster(
    lose: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
    models: Any,
    folder_of: Callable[..., Path],
    user: str,
    said: str,
):
    caplog.set_level("INFO")
    lose(user)
    folder = folder_of(models.fill_mask)
    pipeline: Any = load(folder, device="cpu")

    assert len(re.findall(f"{said}: .*{re.escape(GONE)}", caplog.text)) == 1
    assert pipeline.pads == (user == compat.NO_PADDING)
    assert_equal(run(pipeline, [("test [MASK]", {})])[0], plain(direct(folder, "fill-mask")("test [MASK]")))


def test_texts_are_generated_without_what_is_faster(
    lose: Callable[[str], None], caplog: pytest.LogCaptureFixture, models: Any, folder_of: Callable[..., Path]
):
    lose(compat.CONTINUOUS_BATCHING)
    pipeline = load(folder_of(models.llama))

    assert not pipeline.description.streams
    [line] = [record.getMessage() for record in caplog.records]
    assert re.search(
        "generates one text after the other, and does not stream: " + SENTENCE.format(re.escape(GONE)), line
    )
    [answer] = run(pipeline, [("a boat", {"max_new_tokens": 2, "seed": 1})])
    assert answer[0]["generated_text"].startswith("a boat")


# manage.py check --deploy


@pytest.mark.parametrize(
    ("user", "message_id"), [(compat.PIPELINES, "inference.E012"), (compat.CONTINUOUS_BATCHING, "inference.W003")]
)
def test_the_check_before_a_deployment_finds_what_is_missing(lose: Callable[[str], None], user: str, message_id: str):
    assert not deploy_messages()
    lose(user)
    assert [message.id for message in deploy_messages()] == [message_id]
    assert message_id not in [message.id for message in checks.run()]


def deploy_messages() -> list[Any]:
    found = run_checks(tags=[checks.TAG], include_deployment_checks=True)
    return [message for message in found if message.id in ("inference.E012", "inference.W003")]


def test_the_usual_checks_import_no_model_library():
    script = (
        "import sys; from django.core.management import execute_from_command_line as run;"
        "run(['manage.py', 'check']); assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
