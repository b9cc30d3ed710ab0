"""``INFERENCE_DTYPE=int8``: linear layers with weights of 8 bits."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from inference.backends.base import LoadFailed
from inference.backends.transformers.quantized_linear import QuantizedLinear, quantize_linears
from inference.conf import BUNDLED_MODEL
from tests import tiny_models
from tests.backends.transformers.running import load, run

BITS = (8, 7)
"""With and without VNNI."""


def layer(inputs: int = 96, outputs: int = 200, *, bias: bool = True) -> tuple[nn.Linear, torch.Tensor]:
    """A layer, and inputs of which a few columns are a hundred times larger, as in transformers."""
    torch.manual_seed(4)
    activations = torch.randn(12, inputs)
    activations[:, ::31] *= 100
    return nn.Linear(inputs, outputs, bias=bias), activations


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_it_computes_what_the_layer_does_within_a_few_percent(*, bias: bool, bits: int) -> None:
    exact, inputs = layer(bias=bias)
    ranges = inputs.abs().amax(0)
    quantized = QuantizedLinear(exact.weight, exact.bias, ranges, bits)
    wanted = exact(inputs)
    assert (quantized(inputs) - wanted).norm() < 0.03 * wanted.norm()
    with pytest.warns(DeprecationWarning, match="torch.jit.script"):
        compiled: Any = torch.jit.script(quantized)
    assert torch.equal(compiled(inputs), quantized(inputs))
    unmoved = QuantizedLinear(exact.weight, exact.bias, exact.weight.abs().amax(0), bits)
    assert (unmoved(inputs) - wanted).norm() > 2 * (quantized(inputs) - wanted).norm()


@torch.inference_mode()
def test_a_token_gets_the_same_whatever_is_beside_it() -> None:
    exact, inputs = layer()
    quantized = QuantizedLinear(exact.weight, exact.bias, inputs.abs().amax(0), 8)
    together = quantized(torch.cat([inputs, 1000 * inputs])[None])
    for number, token in enumerate(inputs):
        assert torch.equal(quantized(token[None, None])[0, 0], together[0, number])
    assert torch.equal(quantized(torch.zeros(1, inputs.shape[1]))[0], exact.bias)


def test_a_model_that_8_bits_would_ruin_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    exact, inputs = layer(256, 256)
    model = nn.Sequential(exact)
    monkeypatch.setattr(QuantizedLinear, "forward", lambda self, inputs: -exact(inputs))
    with pytest.raises(LoadFailed, match="outputs of this model would differ by 200%; use auto or bfloat16"):
        quantize_linears(model, lambda: model(inputs))


def test_a_masked_word_is_nearly_what_it_was() -> None:
    exact, quantized = load(BUNDLED_MODEL), load(BUNDLED_MODEL, dtype="int8")
    assert quantized.description.dtype == "int8"
    assert quantized.description.version != exact.description.version
    texts = ["The capital of France is [MASK].", "CC(=O)O[MASK]c1ccccc1", "A [MASK] day."]
    asked: list[Any] = [(text, {}) for text in texts]
    for wanted, got in zip(run(exact, asked), run(quantized, asked), strict=True):
        assert got[0]["token_str"] == wanted[0]["token_str"]
        assert got[0]["score"] == pytest.approx(wanted[0]["score"], abs=0.05)


def test_texts_are_generated_with_8_bits_and_a_batch_changes_nothing(tmp_path: Path) -> None:
    shape: dict[str, Any] = {"hidden_size": 128, "intermediate_size": 192, "num_key_value_heads": 2}
    pipeline = load(tiny_models.decoder(tmp_path, "Llama", **shape), task="text-generation", dtype="int8")
    parameters = {"do_sample": False, "max_new_tokens": 12, "min_new_tokens": 12}
    asked = [(text, parameters) for text in ("stone", "a boat in winter", "the town " * 20)]
    assert run(pipeline, asked) == [run(pipeline, [each])[0] for each in asked]


def test_a_pipeline_without_such_layers_says_so(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"INFERENCE_DTYPE is int8, but .* has only float32"):
        load(tiny_models.llama(tmp_path), task="text-generation", dtype="int8")
