"""A tiny model for each task, and a catalog of them."""

from collections.abc import Callable, Iterable
from pathlib import Path

from tests import (
    processes,
    tiny_audio_models,
    tiny_image_models,
    tiny_media_models,
    tiny_models,
    tiny_models_encdec,
    tiny_models_vision,
)

MODELS: dict[str, Callable[[Path], Path]] = {
    "audio-classification": tiny_audio_models.audio_classification,
    "automatic-speech-recognition": tiny_audio_models.whisper,
    "decision": tiny_models.deciding,
    "depth-estimation": tiny_image_models.glpn,
    "document-question-answering": tiny_image_models.layoutlm,
    "feature-extraction": tiny_models.feature_extraction,
    "fill-mask": tiny_models.fill_mask,
    "image-classification": tiny_media_models.image_classification,
    "image-feature-extraction": tiny_image_models.feature_extraction,
    "image-segmentation": tiny_image_models.segformer,
    "image-text-to-text": tiny_media_models.image_text_to_text,
    "image-to-text": tiny_models_vision.image_to_text,
    "object-detection": tiny_image_models.yolos,
    "question-answering": tiny_models.question_answering,
    "sentence-similarity": tiny_models.feature_extraction,
    "summarization": tiny_models_encdec.summarizer,
    "text-classification": tiny_models.text_classification,
    "text-generation": tiny_models.text_generation,
    "text-to-speech": tiny_audio_models.vits,
    "text2text-generation": tiny_models_encdec.t5,
    "text-ranking": tiny_models.text_ranking,
    "token-classification": tiny_models.token_classification,
    "translation": tiny_models_encdec.marian,
    "visual-question-answering": tiny_models_vision.visual_question_answering,
    "zero-shot-classification": tiny_models.zero_shot_classification,
    "zero-shot-image-classification": tiny_image_models.clip,
}
"""By task."""


def catalog(tasks: Iterable[str]) -> Path:
    """A file with a pipeline for each task, named like it; the models are made."""
    folder = processes.scratch()
    tables = [
        f'[{task}]\ntask = "{task}"\nmodel = "{MODELS[task](folder / task)}"\nmax_batch_tokens = 4096\n'
        for task in tasks
    ]
    path = folder / "every_model.toml"
    path.write_text("\n".join(tables))
    return path
