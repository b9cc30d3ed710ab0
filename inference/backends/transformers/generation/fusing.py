"""From a loaded transformers model to a ``FusedDecoder`` with the same weights, which are in memory once."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from inference.backends.transformers.devices import release_memory
from inference.backends.transformers.generation.attention import AttentionInputs
from inference.backends.transformers.generation.fused_decoder import (
    AddedLinear,
    FusedDecoder,
    FusedLayer,
    FusedStack,
    RMSNorm,
    Rotation,
)

FAMILIES = {
    "gemma", "gemma3_text", "llama", "mistral", "phi3", "qwen2", "qwen3", "smollm3",
}  # fmt: skip
"""Model types of transformers whose layers are read here."""
NAMES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "qkv": (("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), ("self_attn.qkv_proj",)),
    "output": (("self_attn.o_proj",),),
    "gate_up": (("mlp.gate_proj", "mlp.up_proj"), ("mlp.gate_up_proj",)),
    "down": (("mlp.down_proj",),),
}
"""Linear layers as families name them; several become one."""
WITHOUT_EFFECT = (nn.Dropout, nn.Identity)
ACTIVATIONS = (nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.ReLU())
PROBE_TOLERANCE = 1e-5


def fused_decoder(model: Any, attention: Mapping[int, AttentionInputs]) -> FusedDecoder:
    """``attention``: what each layer of ``model`` gives to its attention.

    The model still works; its linear layers are views of the new ones'.

    Raises:
        ValueError: the model has other parts than those known here; the message says which.
    """
    config = model.config
    if config.model_type not in FAMILIES:
        raise ValueError(f"models of the type {config.model_type} are not known")
    if set(dict(model.named_children())) != {"model", "lm_head"} or getattr(config, "final_logit_softcapping", None):
        raise ValueError("its scores are not those of a linear layer")
    base = model.model
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * len(base.layers)
    rotated = sorted(set(kinds))
    windows = tuple({each.window: None for each in attention.values()})
    layers = []
    for number, layer in enumerate(base.layers):
        window = windows.index(attention[number].window)
        layers.append(_layer(layer, attention[number], window, rotated.index(kinds[number])))
        release_memory(base.device.type)  # the weights that have become views
    head = model.lm_head
    _check_linear(head)
    stack = FusedStack(layers, _norm(base.norm), head)
    return FusedDecoder(base.embed_tokens, stack, _rotations(base.rotary_emb, rotated), windows)


def _layer(layer: nn.Module, attention: AttentionInputs, window: int, rotation: int) -> FusedLayer:
    parts = {
        name: part
        for name, part in layer.named_modules()
        if not isinstance(part, WITHOUT_EFFECT) and not list(part.children())
    }
    linears = {name: _fused(parts, choices) for name, choices in NAMES.items()}
    activation = parts.pop("mlp.act_fn", None) or parts.pop("mlp.activation_fn", None)
    if activation is None:
        raise ValueError("its feed-forward network has no activation")
    output, down = linears.pop("output"), linears.pop("down")
    heads = attention.q.shape[1], attention.kv.shape[2]
    head_norm = _head_norm([parts.pop(f"self_attn.{name}", None) for name in ("q_norm", "k_norm")], heads)
    four = "pre_feedforward_layernorm" in parts
    order = ("input", *(("post_attention", "pre_feedforward", "post_feedforward") if four else ("post_attention",)))
    norms = [_norm(parts.pop(f"{name}_layernorm", None)) for name in order]
    if parts or list(layer.parameters(recurse=False)):
        raise ValueError(f"its layers have other parts ({', '.join(sorted(parts))})")
    return FusedLayer(
        **linears,
        norm=norms[0],
        head_norm=head_norm,
        output=AddedLinear(output, norms[1] if four else None),
        feed_norm=norms[2 if four else 1],
        activation=_activation(activation),
        down=AddedLinear(down, norms[3] if four else None),
        attention=attention,
        window=window,
        rotation=rotation if getattr(layer.self_attn, "use_rope", True) else -1,
    )


def _fused(parts: dict[str, nn.Module], choices: Iterable[Sequence[str]]) -> nn.Linear:
    """Takes the linear layers out of ``parts``; the first of ``choices`` that is there."""
    names = next((names for names in choices if all(name in parts for name in names)), None)
    if names is None:
        raise ValueError("its layers lack linear layers with known names")
    linears: list[Any] = [parts.pop(name) for name in names]
    for linear in linears:
        _check_linear(linear)
    if len(linears) == 1:
        only: nn.Linear = linears[0]
        return only
    if len({linear.bias is None for linear in linears}) != 1:
        raise ValueError("only some of its linear layers have a bias")
    first = linears[0]
    fused = nn.Linear(first.in_features, sum(linear.out_features for linear in linears), device="meta")
    fused.weight = _joined([linear.weight for linear in linears])
    bias: Any = None if first.bias is None else _joined([linear.bias for linear in linears])
    fused.bias = bias
    return fused


def _joined(parts: Sequence[nn.Parameter]) -> nn.Parameter:
    """One after the other; each becomes a view of the whole."""
    whole = torch.cat([part.data for part in parts])
    for part, view in zip(parts, torch.split(whole, [len(part) for part in parts]), strict=True):
        part.data = view
    return nn.Parameter(whole, requires_grad=False)


def _check_linear(linear: nn.Module) -> None:
    if type(linear) is not nn.Linear:
        raise ValueError(f"it has linear layers of another kind ({type(linear).__name__})")


def _activation(activation: Any) -> nn.Module:
    """PyTorch's module for the same function, found by trying."""
    probe = torch.linspace(-4, 4, 64)
    same = (each for each in ACTIVATIONS if torch.equal(each(probe), activation(probe)))
    found: nn.Module = next(same, activation)
    return found


def _norm(norm: Any) -> nn.Module:
    """The same function, found by trying: families write it differently."""
    if isinstance(norm, nn.LayerNorm):
        return norm
    eps = next((getattr(norm, name) for name in ("eps", "variance_epsilon") if hasattr(norm, name)), None)
    if eps is None or [name for name, _ in norm.named_parameters()] != ["weight"]:
        raise ValueError("its layers have norms of another kind")
    weight = norm.weight.data
    probe = torch.linspace(-2, 3, weight.shape[-1], device=weight.device)[None].float()
    for scale in (weight, 1 + weight.float()):
        candidate = RMSNorm(scale.to(weight.dtype), eps)
        if torch.allclose(candidate.float()(probe), norm(probe).float(), rtol=PROBE_TOLERANCE, atol=PROBE_TOLERANCE):
            return candidate.to(weight.dtype)
    raise ValueError("its layers have norms of another kind")


def _head_norm(norms: Sequence[Any], heads: Sequence[int]) -> nn.Module | None:
    """One norm for the heads of queries and of keys."""
    if norms == [None, None]:
        return None
    read: list[Any] = [_norm(norm) for norm in norms]
    if not all(isinstance(norm, RMSNorm) for norm in read) or len({norm.eps for norm in read}) != 1:
        raise ValueError("its heads have norms of another kind")
    weight = torch.cat([norm.weight.expand(count, -1) for norm, count in zip(read, heads, strict=True)])
    return RMSNorm(weight, read[0].eps)


def _rotations(rotary: Any, kinds: Sequence[str]) -> Callable[[torch.Tensor, torch.Tensor], list[Rotation]]:
    by_kind = "layer_type" in inspect.signature(rotary.forward).parameters

    def rotations(states: torch.Tensor, positions: torch.Tensor) -> list[Rotation]:
        if by_kind:
            return [_signed(*rotary(states, positions, kind)) for kind in kinds]
        return [_signed(*rotary(states, positions))] * len(kinds)

    return rotations


def _signed(cosines: torch.Tensor, sines: torch.Tensor) -> Rotation:
    """Of ``[1, token, rotated]``: as the second half of a head is added to the first with a negative sign."""
    first, second = sines[0, :, None].chunk(2, -1)
    return cosines[0, :, None], torch.cat((-first, second), -1)
