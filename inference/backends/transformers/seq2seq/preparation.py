"""From a job to a text that can be generated, as the pipelines of transformers 4 did it."""

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.rows import check_length
from inference.backends.transformers.seq2seq.configuration import specific_settings
from inference.backends.transformers.seq2seq.languages import Languages, Told
from inference.backends.transformers.seq2seq.settings import GenerationSettings
from inference.backends.transformers.seq2seq.text import EncodedText
from inference.errors import Invalid
from inference.messaging.messages import Description, Job


class TextToText:
    """Sources are texts. Runs on the tokenizer's thread, with a tokenizer of its own."""

    def __init__(self, loaded: Loaded, description: Description, settings: GenerationSettings) -> None:
        model, task = loaded.pipe.model, loaded.task
        self._settings, self._description, self._task = settings, description, task
        self._tokenizer = copy.deepcopy(loaded.pipe.tokenizer)
        self._tokenizer.model_max_length = int(1e30)  # it only warns; lengths are checked here
        self._decoder = loaded.pipe.tokenizer  # decoding is the model's thread
        self._told = Told(getattr(model.config, "prefix", None) or "")
        specific = specific_settings(model.config, task.name)
        if specific:
            self._told = Told(
                specific.get("prefix", self._told.prefix),
                {name: value for name, value in specific.items() if name != "prefix"},
            )
        self._languages: Languages | None = None
        if "tgt_lang" in task.parameters:
            every = getattr(model.config, "task_specific_params", None) or {}
            target = settings.base.forced_bos_token_id
            self._languages = Languages(self._tokenizer, every, task.name, target)
        self._own_source = getattr(self._tokenizer, "src_lang", None)

    def text(self, job: Job) -> EncodedText:
        """Raises ``Invalid``."""
        told = self._told_by(job)
        ids, truncated = self._ids(told, job)
        config = self._settings.configuration(job, told.settings)
        cleans = bool(job.parameters.get("clean_up_tokenization_spaces"))
        decode = partial(_cleaned if cleans else _decoded, self._decoder)
        field = self._task.text_field
        text = self._settings.text(
            job,
            config,
            source=ids,
            source_tokens=len(ids),
            encoder_ids=ids,
            decode=decode,
            answer=lambda ids: [{field: decode(ids)}],
            cleans=cleans,
        )
        text.input_tokens, text.truncated = len(ids), truncated
        return text

    def _told_by(self, job: Job) -> Told:
        source, target = job.parameters.get("src_lang"), job.parameters.get("tgt_lang")
        if self._languages is None or not (source or target or self._languages.codes):
            return self._told
        return self._languages.told(source, target)

    def _ids(self, told: Told, job: Job) -> tuple[list[int], bool]:
        """The source's tokens, and whether there were more. Raises ``Invalid``."""
        if self._own_source is not None:
            self._tokenizer.src_lang = told.source or self._own_source
        longest = self._description.longest_input
        cut: dict[str, Any] = {}
        if self._task.cuts(job.parameters):
            # Of a fast tokenizer the argument would make windows; what it cuts off is in its encodings anyway.
            cut = {"truncation": True, "max_length": longest, "return_overflowing_tokens": not self._tokenizer.is_fast}
        encoded = self._tokenizer(told.prefix + job.input, **cut)
        ids: list[int] = encoded["input_ids"]
        check_length(len(ids), longest)
        if not ids:
            raise Invalid("The input has no tokens; send a text that the model's tokenizer knows.")
        return ids, bool(encoded.encodings[0].overflowing if encoded.is_fast else encoded.get("overflowing_tokens"))


def _decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    text: str = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text


def _cleaned(tokenizer: Any, ids: Sequence[int]) -> str:
    """``decode`` itself does not clean up after every kind of tokenizer any more."""
    text: str = tokenizer.clean_up_tokenization(_decoded(tokenizer, ids))
    return text
