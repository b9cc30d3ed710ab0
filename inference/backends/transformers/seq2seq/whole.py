"""Texts that ``generate`` makes as a whole, one after the other."""

from dataclasses import dataclass

import torch
from transformers import StoppingCriteriaList

from inference.backends.transformers.encoder import to_json
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.rows import Row
from inference.backends.transformers.seq2seq.preparation import TextToText
from inference.backends.transformers.seq2seq.settings import GenerationSettings, longest_text
from inference.backends.transformers.seq2seq.text import EncodedText
from inference.backends.transformers.unbatched import GenerationJob, StepCounter, Unbatched
from inference.conf import Conf
from inference.messaging.messages import Job


@dataclass(eq=False, slots=True, kw_only=True)
class WholeText(GenerationJob):
    text: EncodedText


class WholeTexts(Unbatched):
    """``prepare`` runs on the tokenizer's thread and ``run`` on the model's."""

    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        super().__init__(loaded)
        self._model = loaded.pipe.model
        settings = GenerationSettings(
            self._model, loaded.pipe.tokenizer, longest_text(self._model), conf.max_batch_tokens
        )
        self._requests = TextToText(loaded, self.description, settings)

    def _prepare(self, job: Job) -> WholeText:
        text = self._requests.text(job)
        item = WholeText(job, [Row({"input_ids": text.source})], text=text)
        item.truncated = text.truncated
        item.count(text.stop_conditions.new_tokens)
        return item

    @torch.inference_mode()
    def _call(self, item: WholeText) -> bytes:
        text, counter = item.text, StepCounter(item)
        torch.manual_seed(item.job.parameters.get("seed", 0))
        if text.stop_conditions.stop:
            text.config.stop_strings = list(text.stop_conditions.stop)
        ids = torch.tensor([text.source], device=self._model.device)
        try:
            [made, *_] = self._model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                generation_config=text.config,
                tokenizer=self._pipe.tokenizer,
                stopping_criteria=StoppingCriteriaList([counter]),
            )
            return to_json(text.answer(made.tolist()))
        finally:
            item.count(counter.steps)
