"""Models of ordinary size with random weights, one for each kind of task, and what is sent to them.

.venv/bin/python -m tests.benchmarks.task_models KIND FOLDER
"""

import io
import random
import shutil
import sys
from pathlib import Path
from typing import Any

from inference.conf import BUNDLED_MODEL

MINI: dict[str, Any] = {
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
}
"""The shape of MiniLM and of ViT's small models, with half of the layers of the latter."""


def bert_of_questions(folder: Path) -> None:
    _bert(folder, "BertForQuestionAnswering")


def cross_encoder(folder: Path) -> None:
    _bert(folder, "BertForSequenceClassification", num_labels=1)


def t5_small(folder: Path) -> None:
    """6 layers, 512: the shape of T5-small."""
    import transformers  # noqa: PLC0415 - seconds, and only here

    tokenizer = _word_pieces()
    sizes: dict[str, Any] = {"vocab_size": len(tokenizer), "d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6}
    config = transformers.T5Config(**sizes, num_heads=8, **_ends(tokenizer))
    _save(folder, transformers.T5ForConditionalGeneration(config), tokenizer)


def marian(folder: Path) -> None:
    """6 layers, 512: the shape of the models of OPUS-MT."""
    import transformers  # noqa: PLC0415

    tokenizer = _word_pieces()
    sizes: dict[str, Any] = {"vocab_size": len(tokenizer), "d_model": 512, "encoder_ffn_dim": 2048}
    sizes |= {"decoder_ffn_dim": 2048, "encoder_layers": 6, "decoder_layers": 6, "max_position_embeddings": 512}
    sizes |= {"encoder_attention_heads": 8, "decoder_attention_heads": 8, "forced_eos_token_id": None}
    _save(folder, transformers.MarianMTModel(transformers.MarianConfig(**sizes, **_ends(tokenizer))), tokenizer)


def vit_small(folder: Path) -> None:
    import transformers  # noqa: PLC0415

    config = transformers.ViTConfig(**MINI | {"num_attention_heads": 6, "num_hidden_layers": 12}, num_labels=1000)
    _save(folder, transformers.ViTForImageClassification(config), transformers.ViTImageProcessorPil())


def efficientnet(folder: Path) -> None:
    """The shape of B0."""
    import transformers  # noqa: PLC0415

    size = {"height": 224, "width": 224}
    config = transformers.EfficientNetConfig(
        width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280, image_size=224, num_labels=1000
    )
    model = transformers.EfficientNetForImageClassification(config)
    _save(folder, model, transformers.EfficientNetImageProcessorPil(size=size))


def wav2vec2(folder: Path) -> None:
    """A third of the layers of the base model."""
    import transformers  # noqa: PLC0415

    words = {letter: number for number, letter in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", *"etaoinshrdlu"])}
    (folder / "vocab.json").write_text(str(words).replace("'", '"'))
    tokenizer = transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    config = transformers.Wav2Vec2Config(vocab_size=len(words), num_hidden_layers=4, pad_token_id=0)
    _save(folder, transformers.Wav2Vec2ForCTC(config), tokenizer, transformers.Wav2Vec2FeatureExtractor())


def audio_spectrogram(folder: Path) -> None:
    """A small AST on a quarter of its time."""
    import transformers  # noqa: PLC0415

    config = transformers.ASTConfig(**MINI | {"num_attention_heads": 6}, max_length=256, num_labels=50)
    _save(folder, transformers.ASTForAudioClassification(config), transformers.ASTFeatureExtractor(max_length=256))


def _bert(folder: Path, kind: str, **more: Any) -> None:
    import transformers  # noqa: PLC0415

    config = transformers.BertConfig(vocab_size=30_522, max_position_embeddings=512, **MINI, **more)
    _save(folder, getattr(transformers, kind)(config))
    for file in Path(BUNDLED_MODEL).glob("tokenizer*"):
        shutil.copy(file, folder)


def _word_pieces() -> Any:
    """The bundled model's tokenizer as one of an encoder-decoder: texts end with ``[SEP]``."""
    import tokenizers  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    pieces = tokenizers.Tokenizer.from_file(f"{BUNDLED_MODEL}/tokenizer.json")
    ending = ("[SEP]", pieces.token_to_id("[SEP]"))
    pieces.post_processor = tokenizers.processors.TemplateProcessing(single="$A [SEP]", special_tokens=[ending])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=pieces, model_max_length=512, pad_token="[PAD]", eos_token="[SEP]", unk_token="[UNK]"
    )


def _ends(tokenizer: Any) -> dict[str, Any]:
    """No text ends by itself, so that each has as many tokens as it may."""
    return {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": None, "decoder_start_token_id": 0}


def _save(folder: Path, *parts: Any) -> None:
    for part in parts:
        part.save_pretrained(folder)


def jpeg(seed: int) -> bytes:
    """Of 640 by 480 pixels, with shapes in it, 40 kB."""
    from PIL import Image  # noqa: PLC0415

    small = Image.frombytes("RGB", (32, 24), random.Random(seed).randbytes(32 * 24 * 3))
    small.resize((640, 480), Image.Resampling.BICUBIC).save(file := io.BytesIO(), "JPEG", quality=90)
    return file.getvalue()


def wav(seed: int, seconds: int) -> bytes:
    """Noise, 16,000 samples a second of 16 bits."""
    import numpy as np  # noqa: PLC0415
    import soundfile  # noqa: PLC0415

    samples = np.random.default_rng(seed).normal(0, 0.1, 16_000 * seconds)
    soundfile.write(file := io.BytesIO(), samples, 16_000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def main() -> None:
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    kind, folder = sys.argv[1], Path(sys.argv[2])
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    globals()[kind](part)
    part.rename(folder)


if __name__ == "__main__":
    main()
