"""Whisper."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.tokenization_whisper import LANGUAGES as LANGUAGE_NAMES
from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.speech import Place, SpeechJob
from inference.backends.transformers.speech_generation import SpeechToText
from inference.backends.transformers.stacked import StackedJob
from inference.conf import Conf
from inference.errors import Invalid
from inference.messaging.messages import Job
from inference.tasks.abilities import LANGUAGES, PHRASE_TIMES, WORD_TIMES

BEGINNING = 4
"""Tokens before a text: the start, its language, the task, and whether it has timestamps."""
ONLY_LANGUAGE = "english"
"""Of checkpoints that have no tokens of languages."""
NAMED = 12
"""Languages that an error names."""


class Remembering:
    """Makes an encoder remember what it made of its newest input.

    A window is encoded to detect its language, and then once more to be transcribed.
    """

    def __init__(self, encoder: torch.nn.Module) -> None:
        self._encoder, encode = encoder, encoder.forward
        self._features = self._encoded = torch.empty(0)

        @functools.wraps(encode)  # generation asks which arguments it has
        def remembered(input_features: torch.Tensor, *args: Any, **options: Any) -> Any:
            more = options.get("output_attentions") or options.get("output_hidden_states")
            if more:
                return encode(input_features, *args, **options)
            if input_features.shape == self._features.shape and torch.equal(input_features, self._features):
                return BaseModelOutput(last_hidden_state=self._encoded)
            # One window keeps a processor busy; those of more do not fit its caches.
            at_once = 1 if input_features.device.type == "cpu" else len(input_features)
            parts = torch.split(input_features, at_once)
            self._encoded = torch.cat([encode(part).last_hidden_state for part in parts])
            self._features = input_features
            return BaseModelOutput(last_hidden_state=self._encoded)

        encoder.forward = remembered

    def forget(self) -> None:
        self._features = self._encoded = torch.empty(0)

    def close(self) -> None:
        """Leave the encoder as it was."""
        self.forget()
        del self._encoder.forward


class Whisper(SpeechToText):
    """Windows of 30 s, those of all jobs with equal parameters encoded and decoded together.

    A longer recording is transcribed window by window, each beginning where the last phrase of the one before ended;
    beside other long ones. Or it is cut into chunks, if its client says so.
    """

    not_taken = ()

    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        super().__init__(loaded, conf)
        self._languages: Mapping[str, int] = getattr(self._settings, "lang_to_id", None) or {}
        self._frames = self._pipe.feature_extractor.nb_max_frames
        self._encoder = Remembering(self._model.get_encoder())

    def pipeline_parameters(self, job: Job) -> dict[str, Any]:
        given = super().pipeline_parameters(job)
        wanted = given.get("return_timestamps")
        if wanted == "char":
            raise Invalid('Parameter return_timestamps is "char"; with this model it may be true, false or "word".')
        if wanted and getattr(self._settings, "no_timestamps_token_id", None) is None:
            raise Invalid("This model has no timestamps; leave the parameter return_timestamps out.")
        if wanted == "word" and not getattr(self._settings, "alignment_heads", None):
            raise Invalid("This model does not know when words are spoken; return_timestamps may be true or false.")
        room = self._config.max_target_positions - BEGINNING
        if given.get("max_new_tokens", 0) > room:
            raise Invalid(f"Parameter max_new_tokens is {given['max_new_tokens']}; with this model it may be {room}.")
        if not self._languages and given.keys() & {"language", "task"}:
            raise Invalid("This model knows only one language; leave the parameters language and task out.")
        if "language" in given:
            given["language"] = self._token(given["language"])
        return given

    def abilities(self) -> tuple[str, ...]:
        has_times = getattr(self._settings, "no_timestamps_token_id", None) is not None
        found = {
            PHRASE_TIMES: has_times,
            WORD_TIMES: has_times and bool(getattr(self._settings, "alignment_heads", None)),
            LANGUAGES: bool(self._languages),
        }
        return tuple(name for name, has in found.items() if has)

    def close(self) -> None:
        self._encoder.close()
        super().close()

    def usual_chunk_s(self, seconds: float) -> float | None:
        return None

    def prepared(self, job: Job) -> SpeechJob:  # type: ignore[override]
        item = super().prepared(job)
        if not self._languages:
            item.language = ONLY_LANGUAGE
        elif said := job.parameters.get("language"):
            item.language = language_name(self._token(said))
        if self._mixes(item.forward):
            item.forward = {name: value for name, value in item.forward.items() if name != "language"}
        return item

    def windows(self, item: SpeechJob) -> int:
        return sum(-(-part.tensors["input_features"].shape[-1] // self._frames) for part in item.parts)

    def form(self, part: StackedJob) -> tuple[Any, ...]:
        return (self._is_long(part),)

    def positions(self, place: Place) -> int:
        return int(self._config.max_source_positions)

    def stacked(self, group: Sequence[Place]) -> dict[str, Any]:
        """Long ones are padded at the end."""
        parts = [place.part.tensors for place in group]
        longest = max(part["input_features"].shape[-1] for part in parts)
        padded = {
            name: torch.cat(
                [torch.nn.functional.pad(part[name], (0, longest - part[name].shape[-1])) for part in parts]
            )
            for name in ("input_features", "attention_mask")
        }
        return padded | {"is_last": True}

    def texts(self, group: Sequence[Place], parameters: dict[str, Any]) -> list[dict[str, Any]]:
        inputs = self.stacked(group)
        attention = self._config._attn_implementation
        try:
            if self._mixes(parameters):
                parameters["language"] = self._row_languages(group, inputs["input_features"])
            return self.unpadded(self._pipe.forward(inputs, **parameters))
        finally:
            self._encoder.forget()
            self._config._attn_implementation = attention  # times of words need another one

    def unpadded(self, outputs: dict[str, Any]) -> list[dict[str, Any]]:
        rows = super().unpadded(outputs)
        if "token_timestamps" in outputs:
            for row, times in zip(rows, outputs["token_timestamps"], strict=True):
                row["token_timestamps"] = [times[: row["tokens"].shape[1]]]
        return rows

    @torch.inference_mode()
    def compared(self, group: Sequence[SpeechJob]) -> torch.Tensor:  # type: ignore[override]
        """One is enough: that takes its time."""
        features = group[0].parts[0].tensors["input_features"]
        start = torch.tensor([[self._settings.decoder_start_token_id]])
        outputs = self._model(input_features=features, decoder_input_ids=start)
        return torch.cat([outputs.logits.flatten(), outputs.encoder_last_hidden_state.flatten()])

    def _row_languages(self, group: Sequence[Place], features: torch.Tensor) -> list[str]:
        """As tokens; what a client has not said is detected."""
        asked = [place.item.job.parameters.get("language") or "" for place in group]
        if all(asked):
            return [self._token(language) for language in asked]
        features = features[..., : self._frames].to(self._pipe.device)
        detected = self._model.detect_language(features, generation_config=self._settings).tolist()
        tokens = {number: token for token, number in self._languages.items()}
        return [
            self._token(language) if language else tokens[number]
            for language, number in zip(asked, detected, strict=True)
        ]

    def _token(self, language: str) -> str:
        """Raises ``Invalid`` for a language that the model does not know."""
        lower = language.lower()
        for token in (lower, f"<|{lower}|>", f"<|{TO_LANGUAGE_CODE.get(lower)}|>"):
            if token in self._languages:
                return token
        known = [token.strip("<|>") for token in self._languages]
        more = f" and {len(known) - NAMED} others" if len(known) > NAMED else ""
        raise Invalid(f"Parameter language is {language!r}; this model knows {', '.join(known[:NAMED])}{more}.")

    def _mixes(self, parameters: Mapping[str, Any]) -> bool:
        """Whether each row of a call may have its own language, said or detected.

        Not where Whisper is asked to go on differently after a detected one: generation then leaves out the task.
        """
        if not self._languages or getattr(self._settings, "language", None):
            return False
        if "task" in parameters or getattr(self._settings, "task", None):
            return True
        forced = getattr(self._settings, "forced_decoder_ids", None) or getattr(
            self._config, "forced_decoder_ids", None
        )
        tasks = getattr(self._settings, "task_to_id", None) or {}
        return [token for _, token in (forced or [])[:2]] == [None, tasks.get("transcribe")]

    def _is_long(self, part: StackedJob) -> bool:
        return bool(part.tensors["input_features"].shape[-1] > self._frames)


def language_name(token: str) -> str:
    """In English."""
    code = token.strip("<|>")
    return str(LANGUAGE_NAMES.get(code, code))
