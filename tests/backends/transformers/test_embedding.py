"""Checkpoints of sentence-transformers: their own pooling, layers, normalisation, prompts and limits.

``recorded_embeddings.json`` has what ``SentenceTransformer(folder).encode`` of sentence-transformers 6.2.0 gave for the
same folders, which ``checkpoint`` fills.
"""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference.backends.base import LoadFailed
from inference.backends.transformers.checkpoint import identity
from inference.errors import Invalid
from tests.backends.transformers.running import Make, load, run

RECORDED: dict[str, dict[str, list[list[float]]]] = json.loads(
    Path(__file__).with_name("recorded_embeddings.json").read_text()
)
TEXTS = ["the old river", "small boats carry bread salt and letters to every quiet town near our coast", "a boat"]
OWN = {"pooling": "model", "truncate": True}
PROMPTS = {"prompts": {"query": "search for the : ", "passage": "text about "}, "default_prompt_name": "passage"}
DENSE = {"in_features": 24, "out_features": 16, "bias": True, "activation_function": "torch.nn.modules.activation.Tanh"}
NORMALIZE: dict[str, Any] = {"type": "sentence_transformers.models.Normalize"}


def old(flag: str, **more: Any) -> dict[str, Any]:
    """Settings of pooling as sentence-transformers wrote them until version 5."""
    flags = {f"pooling_mode_{name}": name == flag for name in ("cls_token", "mean_tokens", "max_tokens", "lasttoken")}
    return {"type": "sentence_transformers.models.Pooling", "word_embedding_dimension": 24, **flags, **more}


def new(mode: Any, **more: Any) -> dict[str, Any]:
    kind = "sentence_transformers.sentence_transformer.modules.pooling.Pooling"
    return {"type": kind, "embedding_dimension": 24, "pooling_mode": mode, **more}


def dense(kind: str = "sentence_transformers.models.Dense", **more: Any) -> dict[str, Any]:
    return {"type": kind, **DENSE, **more}


IDENTITY = {"activation_function": "torch.nn.modules.linear.Identity"}
CHECKPOINTS: dict[str, dict[str, Any]] = {
    "mean": {"modules": [old("mean_tokens"), NORMALIZE], "limit": 12},
    "cls": {"modules": [old("cls_token")]},
    "max": {"modules": [old("max_tokens")]},
    "last": {"modules": [old("lasttoken")]},
    "weighted": {"modules": [new("weightedmean")]},
    "root": {"modules": [new("mean_sqrt_len_tokens")]},
    "several": {"modules": [new(["cls", "mean"])]},
    "dense": {"modules": [new("mean"), dense(), NORMALIZE]},
    "residual": {"modules": [new("mean"), NORMALIZE, dense(use_residual=True, bias=False, **IDENTITY)]},
    "prompts": {"modules": [new("mean"), NORMALIZE], "prompts": PROMPTS},
    "left out": {"modules": [new(["mean", "weightedmean", "cls"], include_prompt=False)], "prompts": PROMPTS},
}


def checkpoint(folder: Path, base: Path, settings: dict[str, Any]) -> Path:
    """A checkpoint with these modules after the bare model ``base``."""
    shutil.copytree(base, folder)
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for number, module in enumerate(settings["modules"], start=1):
        path = f"{number}_{module['type'].rpartition('.')[2]}"
        modules.append({"idx": number, "name": str(number), "path": path, "type": module["type"]})
        (folder / path).mkdir()
        own = {name: value for name, value in module.items() if name != "type"}
        (folder / path / "config.json").write_text(json.dumps(own))
        if "in_features" in own:
            save_weights(folder / path, own)
    (folder / "modules.json").write_text(json.dumps(modules))
    limits = {"max_seq_length": settings.get("limit"), "do_lower_case": settings.get("lower", False)}
    (folder / "sentence_bert_config.json").write_text(json.dumps(limits))
    if "prompts" in settings:
        (folder / "config_sentence_transformers.json").write_text(json.dumps(settings["prompts"]))
    return folder


def save_weights(folder: Path, dense: dict[str, Any]) -> None:
    """Any numbers, the same ones everywhere."""
    import torch  # noqa: PLC0415
    from safetensors.torch import save_file  # noqa: PLC0415

    def numbers(*shape: int) -> Any:
        count = math.prod(shape)
        return (torch.arange(count) * 7 % 11 / 10 - 0.5).reshape(shape).contiguous()

    sizes = dense["out_features"], dense["in_features"]
    weights = {"linear.weight": numbers(*sizes)}
    if dense["bias"]:
        weights["linear.bias"] = numbers(sizes[0])
    if dense.get("use_residual"):
        weights["residual.weight"] = numbers(*sizes).flip(0).contiguous()
    save_file(weights, folder / "model.safetensors")


@pytest.fixture
def made(models: Any, folder_of: Callable[[Make], Path], tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: checkpoint(tmp_path / name, folder_of(models.feature_extraction), CHECKPOINTS[name])


def asked(name: str) -> dict[str, dict[str, Any]]:
    """Parameters by what is recorded."""
    every: dict[str, dict[str, Any]] = {"own": OWN, "short": OWN | {"dimensions": 5, "normalize": True}}
    return every | ({"query": OWN | {"prompt_name": "query"}} if "prompts" in CHECKPOINTS[name] else {})


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_embeddings_are_those_of_sentence_transformers(made: Callable[[str], Path], name: str) -> None:
    ways = asked(name)
    assert RECORDED[name].keys() == ways.keys()

    answers = iter(run(load(made(name)), [(text, way) for way in ways.values() for text in TEXTS]))

    for way in ways:
        for text, recorded in zip(TEXTS, RECORDED[name][way], strict=True):
            assert next(answers) == pytest.approx(recorded, abs=1e-4), (way, text)


def test_they_are_made_only_where_they_are_asked_for(
    models: Any, folder_of: Callable[[Make], Path], made: Callable[[str], Path]
) -> None:
    """Without ``pooling``, the answer is the stock pipeline's; limit and prompts are not used either."""
    with_settings, bare = load(made("prompts")), load(folder_of(models.feature_extraction))
    for parameters in ({}, {"pooling": "mean"}, {"pooling": "cls", "normalize": True}):
        [mine], [theirs] = (run(pipeline, [(TEXTS[1], parameters)]) for pipeline in (with_settings, bare))
        assert mine == theirs
    for pipeline, what in ((with_settings, "model"), (bare, "mean")):
        [chosen], [said] = (run(pipeline, [("a boat", {"pooling": pooling})]) for pooling in ("auto", what))
        assert chosen == said
    [prompted] = run(with_settings, [("the old river", {"pooling": "mean", "prompt_name": "query"})])
    assert prompted == pytest.approx(run(bare, [("search for the : the old river", {"pooling": "mean"})])[0], abs=1e-5)


def test_a_limit_and_a_length_of_the_checkpoints_own(made: Callable[[str], Path]) -> None:
    pipeline = load(made("mean"))
    bad, longer, plain, unit = run(
        pipeline,
        [
            (TEXTS[1], {"pooling": "model"}),
            (TEXTS[1], {"pooling": "mean"}),
            ("a boat", {"pooling": "model", "normalize": False}),
            ("a boat", {"pooling": "model"}),
        ],
    )
    assert isinstance(bad, Invalid)
    assert bad.message == "The input has 16 tokens; this model takes at most 12."
    assert len(longer) == 24
    size = sum(x * x for x in plain) ** 0.5
    assert size > 1.1
    assert unit == pytest.approx([x / size for x in plain], abs=1e-5)


def test_parts_of_a_long_text_are_pooled_before_the_layers(made: Callable[[str], Path]) -> None:
    pipeline = load(made("residual"))
    parts, whole = run(pipeline, [("stone " * 92, {"pooling": "model", "chunk": True}), ("stone " * 46, OWN)])
    assert parts == pytest.approx(whole, abs=1e-5), "two windows that are the same"


def test_a_checkpoint_may_read_texts_in_lower_case(
    models: Any, folder_of: Callable[[Make], Path], tmp_path: Path
) -> None:
    """The tokenizer of the tiny models does so by itself."""
    settings = {"modules": [new("mean")], "lower": True, "prompts": PROMPTS}
    pipeline: Any = load(checkpoint(tmp_path / "model", folder_of(models.feature_extraction), settings))
    assert pipeline.read("A Boat", "About ") == "about a boat"


def test_an_unknown_prompt_is_named_with_the_known_ones(made: Callable[[str], Path]) -> None:
    good, bad = run(load(made("prompts")), [("a boat", OWN), ("a boat", {"prompt_name": "document"})])
    assert len(good) == 24
    assert isinstance(bad, Invalid)
    assert bad.message == "There is no prompt 'document'; known are: query, passage."


# sentence-similarity


def test_similarities_are_those_of_the_checkpoints_own_embeddings(made: Callable[[str], Path]) -> None:
    """With the default prompt, and cut to the checkpoint's own limit."""
    source, *others = TEXTS
    given = {"source_sentence": source, "sentences": others}
    for name in ("mean", "several", "left out"):
        first, *vectors = RECORDED[name]["own"]
        [answer] = run(load(made(name), task="sentence-similarity"), [(given, {"truncate": True})])
        assert answer == pytest.approx([cosine(first, vector) for vector in vectors], abs=1e-4), name


def cosine(one: list[float], other: list[float]) -> float:
    product = sum(x * y for x, y in zip(one, other, strict=True))
    return product / math.hypot(*one) / math.hypot(*other)


# What is not understood


@pytest.mark.parametrize(
    ("modules", "reason"),
    [
        ([new("mean"), {"type": "sentence_transformers.models.CNN"}], "has a module CNN, which is not one of Pooling,"),
        ([{"type": "sentence_transformers.models.CNN"}], "begins with the modules Transformer, CNN, not with"),
        ([new("median")], "has the pooling median, which is not one of cls, max,"),
        ([new("mean"), dense(activation_function="acme.Swish")], "has a Dense module with the activation acme.Swish"),
        (
            [new("mean"), dense(activation_function="torch.nn.Module")],
            "has a Dense module with the activation torch.nn",
        ),
    ],
    ids=["CNN", "no pooling", "median", "foreign", "no activation"],
)
def test_it_is_said_and_nothing_else_is_harmed(
    models: Any, folder_of: Callable[[Make], Path], tmp_path: Path, modules: list[Any], reason: str
) -> None:
    folder = checkpoint(tmp_path / "model", folder_of(models.feature_extraction), {"modules": modules})
    good, *bad = run(load(folder), [("a boat", {"pooling": pooling}) for pooling in ("mean", "model", "auto")])
    assert len(good) == 24
    for error in bad:
        assert isinstance(error, Invalid)
        assert error.message.startswith(f"This model {reason}")
    with pytest.raises(LoadFailed, match=reason.partition("(")[0]):
        load(folder, task="sentence-similarity")


@pytest.mark.parametrize(
    "content", ["[", "{}x", '["a"]', '[{"type": 1, "path": ""}]', '[{"type": "a", "path": "../b"}]']
)
def test_a_list_of_modules_that_is_none_harms_nothing(
    models: Any, folder_of: Callable[[Make], Path], tmp_path: Path, content: str
) -> None:
    folder = checkpoint(tmp_path / "model", folder_of(models.feature_extraction), {"modules": [new("mean")]})
    (folder / "modules.json").write_text(content)
    assert identity(str(folder), "")
    [bad] = run(load(folder), [("a boat", OWN)])
    assert isinstance(bad, Invalid)
    assert bad.message.startswith("This model has a modules.json that is not like those of sentence-transformers")


def test_weights_that_may_run_code_are_not_loaded(made: Callable[[str], Path]) -> None:
    folder = made("dense")
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")
    [bad] = run(load(folder), [("a boat", OWN)])
    assert isinstance(bad, Invalid)
    assert "has no 2_Dense/model.safetensors" in bad.message


def test_modules_tell_checkpoints_apart(made: Callable[[str], Path]) -> None:
    """Web processes keep answers of two checkpoints apart by it."""
    folder = made("dense")
    before = identity(str(folder), "")
    settings = folder / "1_Pooling" / "config.json"
    settings.write_text(settings.read_text().replace("mean", "cls"))
    between = identity(str(folder), "")
    weights = folder / "2_Dense" / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    assert len({before, between, identity(str(folder), "")}) == 3
