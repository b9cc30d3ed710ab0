"""Layers of several families as few large operators: what comes out is what the stock model computes."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from inference.backends.transformers.generation.generator import Generator
from inference.backends.transformers.half_linear import HalfEmbedding, HalfLinear, fits
from inference.backends.transformers.loading import load_pipeline
from inference.backends.transformers.packed_in_place import pack_in_place
from inference.backends.transformers.packed_linear import PackedLinear
from inference.conf import Conf
from tests import generating, tiny_models
from tests.generating import finish, job, one

RATIO = "inference.backends.transformers.packed_in_place._ratio"
"""The time of packed layers, as a part of what plain ones take."""
WORDS = "once upon a time there was a small boat"
FEED = {"intermediate_size": 48}
SHARED = FEED | {"num_key_value_heads": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    "Llama": SHARED | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    "Mistral": SHARED | {"sliding_window": 20, "head_dim": 16},
    "Qwen2": SHARED | {"vocab_size": 300},
    "Qwen3": FEED | {"num_key_value_heads": 1, "head_dim": 16},
    "SmolLM3": SHARED | {"no_rope_layers": [1, 0], "pad_token_id": 0},
    "Phi3": SHARED | {"pad_token_id": 0, "rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
    "Gemma": SHARED | {"head_dim": 16},
    "Gemma3": SHARED | {"head_dim": 16, "sliding_window": 20, "layer_types": ["sliding_attention", "full_attention"]},
}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.decoder(tmp_path_factory.mktemp("models"), "Llama", uneven=True, **FAMILIES["Llama"])


def stepped(folder: Path) -> Generator:
    return Generator(load_pipeline(Conf(model=str(folder), threads=1), lambda progress: None), Conf())


def logits(made: Generator) -> list[torch.Tensor]:
    """Of texts in one block, and of a newcomer whose prompt is read beside them, in two parts."""
    texts = [one(made, job(" ".join(WORDS.split()[: 1 + n]), n)) for n in range(3)]
    for _ in range(3):
        made.step(texts)
    texts.append(one(made, job(" ".join([WORDS] * 20))))
    collected = [made.logits(texts)]
    made.step(texts)
    collected.append(made.logits(texts))
    made.retain(())
    made.cache.forget()
    return collected


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_the_stock_layers(family: str, tmp_path: Path) -> None:
    made = stepped(tiny_models.decoder(tmp_path, family, uneven=True, **FAMILIES[family]))
    stock = logits(made)
    made.fuse()
    assert made.fused is not None
    for fused, wanted in zip(logits(made), stock, strict=True):
        torch.testing.assert_close(fused, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_compiled_layers_compute_the_same(family: str, tmp_path: Path) -> None:
    made = stepped(tiny_models.decoder(tmp_path, family, uneven=True, **FAMILIES[family]))
    made.fuse()
    interpreted = logits(made)
    assert made.fused is not None
    made.fused.compile_steps()
    for compiled, wanted in zip(logits(made), interpreted, strict=True):
        torch.testing.assert_close(compiled, wanted)


def test_layers_that_cannot_be_compiled_run_as_they_are(
    llama: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor does what is compiled run if it computes something else."""
    report: list[str] = []
    made = generating.generator(llama, report=report.append)
    assert "steps are compiled by TorchScript" in report
    text = finish(made, [one(made, job(WORDS))])[0]
    for reason, compiled in {
        "its scores differ": lambda stack: lambda *given: stack(*given) + 1,
        "no TorchScript": None,
    }.items():
        monkeypatch.setattr(torch.jit, "script", compiled or _fails)
        with caplog.at_level(logging.INFO):
            made = generating.generator(llama)
        assert f"are not compiled: {reason}" in caplog.text
        assert made.fused is not None
        assert finish(made, [one(made, job(WORDS))])[0].tokens == text.tokens


def _fails(_: object) -> None:
    raise RuntimeError("no TorchScript")


@pytest.mark.parametrize("family", ["Llama", "Mistral"])
def test_a_prompt_that_is_read_few_tokens_at_a_time_is_read_as_a_whole_one(family: str, tmp_path: Path) -> None:
    """Heads that share keys are tokens of one head then; with Mistral, with a window shorter than the text."""
    made = stepped(tiny_models.decoder(tmp_path, family, uneven=True, **FAMILIES[family]))
    scores = []
    for tokens in (512, 9):
        made.cache.forget()
        text = one(made, job(" ".join([WORDS] * 6), 3))
        steps = 0
        while not text.decoding:
            made.step([text], tokens)
            steps += 1
        scores.append(made.logits([text]))
        made.retain(())
    assert steps > 2
    torch.testing.assert_close(scores[1], scores[0], rtol=1e-4, atol=1e-4)


def test_texts_are_those_of_generate_and_weights_are_in_memory_once(llama: Path) -> None:
    counted = generating.compare(llama, prompts=20, seed=2)
    assert (counted["wrong"], counted["near tie"]) == (0, 0)
    made = stepped(llama)
    stock = {parameter.untyped_storage().data_ptr() for parameter in made._model.parameters()}
    made.fuse()
    assert made.fused is not None
    after = {each.untyped_storage().data_ptr() for model in (made._model, made.fused) for each in model.parameters()}
    assert len(after) < len(stock), "what is fused is shared"
    tied = made.fused.stack.head.weight
    assert tied is made.fused.embedding.weight
    made.drop_stock_layers()
    assert made._model.device.type == "cpu"
    assert finish(made, [one(made, job(WORDS))])[0].tokens


def packed(made: Generator, monkeypatch: pytest.MonkeyPatch, faster: type[Any]) -> Any:
    """With ``faster``, whatever is faster on this machine."""
    made.fuse()
    made.drop_stock_layers()
    texts = [one(made, job(WORDS, n)) for n in range(3)]
    made.step(texts)
    before = made.logits(texts)
    monkeypatch.setattr(
        "inference.backends.transformers.packed_in_place._ratio",
        lambda _, layers: 0.5 + (type(layers[0]) is not faster),
    )
    fused: Any = made.fused
    torch.set_num_threads(2)  # layers are packed side by side
    try:
        assert pack_in_place(fused, fused.stack.layers[0], lambda: made.logits(texts))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    torch.testing.assert_close(made.logits(texts), before, rtol=1e-4, atol=1e-4)
    interpreted = made.logits(texts)
    fused.compile_steps()
    torch.testing.assert_close(made.logits(texts), interpreted)
    return fused


def test_weights_that_16_bits_hold_are_in_16_bits(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = stepped(llama)
    for parameter in made._model.parameters():
        parameter.data = parameter.data.bfloat16().float()
    fused = packed(made, monkeypatch, HalfLinear)
    assert isinstance(fused.embedding, HalfEmbedding)
    assert isinstance(fused.stack.head, HalfLinear)
    assert not [each for each in fused.modules() if isinstance(each, torch.nn.Linear)]
    assert not [name for name, each in fused.named_parameters() if each.dtype == torch.float32 and each.ndim > 1]
    down = fused.stack.layers[0].down.linear
    torch.testing.assert_close(down.unpacked()(torch.ones(1, 48)), down(torch.ones(1, 48)))


def test_other_weights_keep_all_their_bits(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And tied embeddings are no second time in memory."""
    fused = packed(stepped(llama), monkeypatch, PackedLinear)
    down = fused.stack.layers[1].down.linear
    assert isinstance(down, PackedLinear)
    torch.testing.assert_close(down.unpacked()(torch.ones(1, 48)), down(torch.ones(1, 48)))
    assert fused.stack.head.weight is fused.embedding.weight
    assert fits(torch.tensor([[1.0, 1e-9]]), torch.float16), "less than float32 rounds"
    assert not fits(torch.tensor([[1.0001]]), torch.float16)
    assert not fits(torch.tensor([[1.0]] * 500 + [[1.0001]]), torch.float16), "the last row alone"
    assert not fits(torch.tensor([[1e5]]), torch.float16)


def test_results_that_differ_are_found_and_linear_layers_stay(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = stepped(llama)
    made.fuse()
    fused: Any = made.fused
    texts = [one(made, job(WORDS, n)) for n in range(3)]
    made.step(texts)
    before = made.logits(texts)
    monkeypatch.setattr(RATIO, lambda *_: 0.5)
    monkeypatch.setattr(
        PackedLinear, "forward", lambda self, inputs: inputs.new_ones(len(inputs), self._packed.shape[0])
    )
    assert not pack_in_place(fused, fused.stack.layers[0], lambda: made.logits(texts))
    torch.testing.assert_close(made.logits(texts), before)


@pytest.mark.parametrize(
    ("family", "settings", "reason"),
    [
        ("GPTNeoX", {}, "models of the type gpt_neox are not known"),
        ("Gemma3", FAMILIES["Gemma3"] | {"final_logit_softcapping": 2.0}, "its scores are not those of a linear layer"),
    ],
)
def test_other_models_run_as_they_are(
    family: str, settings: dict[str, Any], reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        made = generating.generator(tiny_models.decoder(tmp_path, family, uneven=True, **FEED | settings))
    assert made.fused is None
    assert f"runs operator by operator: {reason}" in caplog.text
    assert finish(made, [one(made, job(WORDS))])[0].tokens


def test_layers_with_other_parts_are_told_from_known_ones(llama: Path) -> None:
    made = stepped(llama)
    layer = made._model.model.layers[1]
    layer.mlp.adapter = torch.nn.Linear(48, 32)
    with pytest.raises(ValueError, match=r"its layers have other parts \(mlp.adapter\)"):
        made.fuse()
    layer.mlp.adapter = torch.nn.Identity()
    layer.input_layernorm = torch.nn.GroupNorm(1, 32)
    with pytest.raises(ValueError, match="its layers have norms of another kind"):
        made.fuse()


def test_scores_that_differ_are_found_and_the_stock_layers_run(
    llama: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(heads: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> None:
        """Not rotated."""

    monkeypatch.setattr("inference.backends.transformers.generation.fused_decoder._rotate", wrong)
    with caplog.at_level(logging.INFO):
        made = generating.generator(llama)
    assert made.fused is None
    assert "runs operator by operator: its texts would differ" in caplog.text
    monkeypatch.undo()
    assert generating.generator(llama).fused is not None
