"""Models of a few thousand weights that hear or speak, like those of ``tiny_models``."""

import json
from pathlib import Path
from typing import Any

import transformers
from tokenizers import AddedToken, pre_tokenizers

from tests.tiny_media_models import labels, saved

SHAPE = {
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.5,
}
CONVOLUTIONS = {"conv_dim": (8,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
"""Of Wav2Vec2 and its relatives: an output for each 320 samples."""
WINDOW_S = 2
"""What the tiny Whisper sees at once."""
LANGUAGES = ("en", "de", "fr")


def audio_classification(folder: Path, **more: Any) -> Path:
    """A Wav2Vec2, which reads samples."""
    config = transformers.Wav2Vec2Config(**SHAPE, **CONVOLUTIONS, classifier_proj_size=16, **labels(), **more)
    extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=False)
    return saved(folder, transformers.Wav2Vec2ForSequenceClassification, config, extractor)


def spectrogram_classification(folder: Path) -> Path:
    """An AST, which reads spectrograms of a fixed size."""
    config = transformers.ASTConfig(**SHAPE, patch_size=8, max_length=64, num_mel_bins=16, **labels())
    extractor = transformers.ASTFeatureExtractor(num_mel_bins=16, max_length=64)
    return saved(folder, transformers.ASTForAudioClassification, config, extractor)


def ctc(folder: Path, kind: str = "Wav2Vec2", **more: Any) -> Path:
    """One with a character for each moment."""
    characters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefghijklmnopqrstuvwxyz'"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({character: n for n, character in enumerate(characters)}))
    tokenizer = transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    config = getattr(transformers, f"{kind}Config")(
        **SHAPE, **CONVOLUTIONS, vocab_size=len(characters), pad_token_id=0, **more
    )
    extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True)
    return saved(folder, getattr(transformers, f"{kind}ForCTC"), config, extractor, tokenizer)


def whisper(folder: Path, *, languages: tuple[str, ...] = LANGUAGES, **more: Any) -> Path:
    """Of at most 24 tokens a window; without languages, one that knows English only."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{language}|>" for language in languages)]
    special += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>"]
    special += ["<|notimestamps|>"]
    times = [f"<|{number * 0.02:.2f}|>" for number in range(WINDOW_S * 50 + 1)]
    vocabulary = {word: number for number, word in enumerate(alphabet)}
    tokenizer = transformers.WhisperTokenizer(vocab=vocabulary, merges=[])
    tokenizer.add_tokens([AddedToken(word, special=True) for word in special], special_tokens=True)
    tokenizer.add_tokens([AddedToken(word, special=False) for word in times])
    ids = {word: tokenizer.convert_tokens_to_ids(word) for word in special}
    ends = {f"{name}_token_id": ids["<|endoftext|>"] for name in ("bos", "eos", "pad")}
    ends |= {"decoder_start_token_id": ids["<|startoftranscript|>"]}
    sizes = {
        f"{side}_{name}": size
        for side in ("encoder", "decoder")
        for name, size in {"layers": 2, "attention_heads": 2, "ffn_dim": 32}.items()
    }
    sizes |= {"d_model": 24, "num_mel_bins": 16, "max_source_positions": WINDOW_S * 50, "max_target_positions": 64}
    config = transformers.WhisperConfig(vocab_size=len(tokenizer), init_std=0.5, **sizes, **ends, **more)
    extractor = transformers.WhisperFeatureExtractor(feature_size=16, chunk_length=WINDOW_S)
    saved(folder, transformers.WhisperForConditionalGeneration, config, extractor, tokenizer)
    multilingual = {
        "lang_to_id": {f"<|{language}|>": ids[f"<|{language}|>"] for language in languages},
        "task_to_id": {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")},
    }
    transformers.GenerationConfig(
        **ends,
        **multilingual if languages else {},
        is_multilingual=bool(languages),
        alignment_heads=[[1, 0], [1, 1]],
        no_timestamps_token_id=ids["<|notimestamps|>"],
        max_initial_timestamp_index=50,
        max_length=24,
    ).save_pretrained(folder)
    return folder


def vits(folder: Path, **more: Any) -> Path:
    """One that speaks, with a waveform."""
    folder.mkdir(parents=True)
    letters = ["-", " ", *"abcdefghijklmnopqrstuvwxyz'"]
    (folder / "vocab.json").write_text(json.dumps({letter: n for n, letter in enumerate(letters)}))
    tokenizer = transformers.VitsTokenizer(str(folder / "vocab.json"), pad_token="-", phonemize=False, is_uroman=False)
    small = {"hidden_size": 16, "ffn_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "flow_size": 16}
    small |= {"spectrogram_bins": 9, "prior_encoder_num_flows": 1, "prior_encoder_num_wavenet_layers": 1}
    small |= {
        "posterior_encoder_num_wavenet_layers": 1,
        "upsample_initial_channel": 16,
        "depth_separable_num_layers": 1,
    }
    small |= {"duration_predictor_num_flows": 2, "duration_predictor_flow_bins": 4, "wavenet_layers": 1}
    lists: dict[str, Any] = {"upsample_rates": [4, 4], "upsample_kernel_sizes": [8, 8], "resblock_kernel_sizes": [3]}
    lists |= {"resblock_dilation_sizes": [[1, 3]]}
    config = transformers.VitsConfig(vocab_size=len(letters), **small, **lists, **more)
    return saved(folder, transformers.VitsModel, config, tokenizer)
