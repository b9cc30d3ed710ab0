"""Whisper window by window: what is said so far can be sent, and no recording waits for the end of a long one."""

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import StoppingCriteriaList

from inference.backends.base import Generated, Outcome
from inference.backends.transformers.description import describe
from inference.backends.transformers.encoder import attempt, to_json
from inference.backends.transformers.generation.to_the_end import to_the_end
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.speech import Place
from inference.backends.transformers.speech_generation import ENCODER_STEPS, Over, Waiting
from inference.backends.transformers.speech_whisper import Whisper, language_name
from inference.backends.transformers.speech_written import (
    INCOMPLETE,
    Next,
    Recording,
    Window,
    Written,
    followed,
    shared,
)
from inference.conf import Conf
from inference.errors import InferenceError
from inference.messaging.messages import FinishReason, Job

DEPENDENT = ("condition_on_prev_tokens", "no_speech_threshold")
"""Settings of a checkpoint with which a window is not written by itself, or may be left out."""
CPU_ROWS = 4
"""Texts, or beams of them, that a call writes together on a CPU. The encoder, most of the time, gains nothing by more;
answers would wait for each other."""
POSITION_S = 0.02
"""Between two positions of what is encoded, and between two of Whisper's times."""


class WindowedWhisper(Whisper):
    """A step transcribes the next window of each job, of those jobs that can share a call of ``generate``.

    The windows are those of ``generate`` and follow from each other by its rule, so that texts are those of a call for
    the whole recording. Chunks are steps like windows; what they say is known when they have been merged, at the end.
    """

    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        super().__init__(loaded, conf)
        self.description = describe(loaded, streams=True)
        self.computed_tokens = 0
        self._positions = int(self._config.max_source_positions)
        self._of_token = max(1, self._positions // ENCODER_STEPS)
        """What a generated token costs, in positions that are encoded."""
        settings, config = self._settings, self._config
        self._first_time = (getattr(settings, "no_timestamps_token_id", None) or config.vocab_size) + 1
        self._end = settings.eos_token_id
        self._special = frozenset(self._pipe.tokenizer.all_special_ids)
        self._room = int(config.max_target_positions)
        self._longest = self._room if settings.max_new_tokens else int(settings.max_length or self._room)
        self._turns = itertools.count()
        self._names = {number: language_name(token) for token, number in self._languages.items()}
        self._group: Sequence[Next] = ()
        self._detect = self._model.detect_language
        self._model.detect_language = self._language_tokens

    def close(self) -> None:
        del self._model.detect_language
        super().close()

    def prepared(self, job: Job) -> Recording:  # type: ignore[override]
        item = super().prepared(job)
        frames = [part.tensors["input_features"].shape[-1] for part in item.parts]
        if max(frames) > self._frames:  # ``generate`` decides so for all that is longer than a window
            item.forward = {"return_timestamps": True, **item.forward}
        said = job.parameters.get("language")
        language = self._languages[self._token(said)] if said else None
        return Recording(
            job,
            item.parts,
            self.windows(item) * self._positions,
            item.forward,
            item.postprocess,
            written=[Written(each, language) for each in frames],
            turn=next(self._turns),
            seconds=item.seconds,
            language=item.language,
        )

    def run(self, batch: Sequence[Recording]) -> list[Outcome]:  # type: ignore[override]
        return to_the_end(self, batch)

    def fitting(self, prepared: Sequence[Recording]) -> Sequence[Recording]:
        return prepared

    def cache_tokens(self, prepared: Collection[Recording]) -> int:
        return 0  # nothing is kept from one step to the next

    def retain(self, prepared: Collection[Recording]) -> None: ...

    def step_tokens(self, prepared: Sequence[Recording], prompt_tokens: int | None = None) -> int:
        """At most."""
        return sum(self._most_tokens(place) for place in self._chosen(prepared, prompt_tokens))

    def step(
        self, prepared: Sequence[Recording], prompt_tokens: int | None = None
    ) -> list[Sequence[Generated] | InferenceError | None]:
        """The tokens of a window of each job that has its turn; if it raises, nothing has changed."""
        group = self._chosen(prepared, prompt_tokens)
        try:
            windows = self._transcribed(group) if group else []
        except Over:
            group, windows = [], []
        self.computed_tokens = self._positions * len(group)
        for place, window in zip(group, windows, strict=True):
            self._take(place, window)
            place.item.tokens += (cost := self._of_token * len(window.tokens))
            self.computed_tokens += cost
        ran = dict.fromkeys(place.item for place in group)
        for item in ran:
            item.turn = next(self._turns)
        return [attempt(item.job, self._news, item) if item in ran else None for item in prepared]

    def most_parts(self, place: Place) -> int:
        most = super().most_parts(place)
        return min(most, max(1, CPU_ROWS // self.beams(place))) if self._pipe.device.type == "cpu" else most

    def stacked(self, group: Sequence[Next]) -> dict[str, Any]:  # type: ignore[override]
        """The next windows."""
        windows = []
        for place in group:
            window = place.part.tensors["input_features"][..., place.written.seek :][..., : self._frames]
            windows.append(torch.nn.functional.pad(window, (0, self._frames - window.shape[-1])))
        mask = torch.tensor([[self._sounding(place)] for place in group])  # generation wants its sum, and no more
        return {"input_features": torch.cat(windows), "attention_mask": mask, "is_last": True}

    def _chosen(self, prepared: Sequence[Recording], prompt_tokens: int | None) -> list[Next]:
        """Windows for one call of ``generate``: that of the job that has waited for the longest time, and its like."""
        waiting = sorted((item for item in prepared if not item.stopped), key=lambda item: item.turn)
        places = [Next(item, number) for item in waiting for number, each in enumerate(item.written) if not each.ended]
        if not places:
            return []
        most = self.most_parts(places[0])
        if prompt_tokens is not None:
            most = min(most, max(1, prompt_tokens // self._most_tokens(places[0])))
        return [place for place in places if self._kind(place) == self._kind(places[0])][:most]

    def _kind(self, place: Next) -> tuple[Any, ...]:
        """Windows of one kind may share a call of ``generate``."""
        words = place.item.forward.get("return_timestamps") == "word"  # whose times depend on where the sound ends
        return place.item.kind, place.written.longest, self._sounding(place) if words else 0

    def _sounding(self, place: Next) -> int:
        """Frames of its window before the padding; below 0 where times that were written have gone beyond."""
        sounding = int(place.part.tensors["attention_mask"].sum()) - place.written.seek
        return min(sounding, int(self._frames))

    def _most_tokens(self, place: Next) -> int:
        new_tokens = int(place.item.forward.get("max_new_tokens", self._steps))
        return self._positions + self._of_token * new_tokens

    def _transcribed(self, group: Sequence[Next]) -> list[Window]:
        waiting = Waiting([place.item for place in group])
        parameters = {**group[0].item.forward, "stopping_criteria": StoppingCriteriaList([waiting])}
        if (longest := group[0].written.longest) is not None:
            parameters["max_length"] = longest
        self._group = group
        rows = self.texts(group, {**parameters, "force_unique_generate_call": True})
        return [self._window(row, waiting) for row in rows]

    def _window(self, row: dict[str, Any], waiting: Waiting) -> Window:
        tokens = row["tokens"][0].tolist()
        ended = len(tokens) < waiting.length
        if tokens[-1] == self._end:  # where padding is another token
            tokens.pop()
            ended = True
        return Window(tokens[waiting.prompt :], row.get("token_timestamps", [None])[0], waiting.prompt, ended)

    def _take(self, place: Next, window: Window) -> None:
        written = place.written
        per_position = self._frames // self._positions
        frames = min(self._frames, written.frames - written.seek)
        kept, heard = followed(window.tokens, self._first_time, frames, per_position)
        written.tokens += window.tokens[:kept]
        if window.times is not None:
            written.times.append(window.times + written.seek * POSITION_S / per_position)
        written.seek += heard
        written.cut = not window.ended
        if self._longest < self._room and "max_new_tokens" not in place.item.forward:
            written.longest = min((written.longest or self._longest) + window.prompt, self._room)

    def _news(self, item: Recording) -> list[Generated]:
        """What its newest windows add; the last has its answer."""
        ended, tokens, text = item.ended, item.all_tokens, ""
        if not ended and len(item.written) > 1:
            return []
        if ended:
            if not item.written[-1].cut:
                tokens.append(self._end)
            answer = self._merged(item)
            text = answer["text"]
        elif item.job.tokens:
            text = self._pipe.postprocess(item.outputs())["text"].rstrip(INCOMPLETE)
        new = tokens[item.told :]
        shares = [""] * len(new)
        if item.job.tokens and text.startswith(item.text):
            decode = self._pipe.tokenizer.decode
            shares = shared(text[len(item.text) :], [decode([token], skip_special_tokens=True) for token in new])
            item.text = text
        made = [
            Generated(
                index=item.told + number,
                token=token,
                text=share,
                logprob=math.nan,
                special=token in self._special or token >= self._first_time,
            )
            for number, (token, share) in enumerate(zip(new, shares, strict=True))
        ]
        item.told = len(tokens)
        if ended:
            reason: FinishReason = "length" if item.written[-1].cut else "eos_token"
            made[-1] = replace(made[-1], finish_reason=reason, output=to_json(answer))
        return [each for each in made if each.index >= len(item.job.resume) or each.finish_reason]

    def _merged(self, item: Recording) -> dict[str, Any]:
        """Raises ``ValueError``, which concerns this job alone; the step is not to be repeated."""
        try:
            answer: dict[str, Any] = self._pipe.postprocess(
                item.outputs(), **self._pipe._postprocess_params | item.postprocess
            )
        except RuntimeError as error:  # of chunks that cannot be merged
            raise ValueError(str(error)) from error
        return answer

    def _language_tokens(self, input_features: torch.Tensor, **more: Any) -> torch.Tensor:
        """Instead of the model's ``detect_language``: said by the client, or detected in the first window."""
        written = [place.written for place in self._group]
        if any(each.language is None for each in written):
            detected = self._detect(input_features=input_features, **more).tolist()
            for each, language in zip(written, detected, strict=True):
                each.language = language if each.language is None else each.language
            for place in self._group:
                place.item.language = place.item.language or self._names.get(place.item.written[0].language or 0, "")
        return torch.tensor([each.language for each in written], device=input_features.device)


def windows_are_independent(model: Any) -> bool:
    return not any(getattr(model.generation_config, name, None) for name in DEPENDENT)
