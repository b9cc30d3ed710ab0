"""From a job to a text that can be generated: tokens, limits and sampling, all as the stock pipeline has them."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import LogitsProcessorList

from inference.backends.transformers import compat
from inference.backends.transformers.generation.adjustments import PARAMETERS as ADJUSTING
from inference.backends.transformers.generation.adjustments import Adjustments
from inference.backends.transformers.generation.detokenizer import Detokenizer
from inference.backends.transformers.generation.drafts import Drafts
from inference.backends.transformers.generation.grammar import Grammars
from inference.backends.transformers.generation.sampling import Sampling
from inference.backends.transformers.generation.text import StopConditions, Text
from inference.backends.transformers.rows import check_least, check_length, check_room
from inference.conf import Conf
from inference.errors import Invalid
from inference.messaging.messages import Description, Job
from inference.tasks.inputs import token_ids

OURS = ADJUSTING | {"grammar", "seed", "stop", "return_full_text", "top_n_tokens"}
"""Parameters that ``generate`` does not have, or has by another name."""
SAMPLERS = frozenset({"temperature", "top_k", "top_p"})
"""Parameters that have no effect, and cause a warning by transformers, where nothing is drawn."""
KNOWN = frozenset(
    {
        "max_new_tokens", "max_length", "do_sample", "temperature", "top_k", "top_p", "repetition_penalty",
        "eos_token_id", "bos_token_id", "pad_token_id", "stop_strings", "use_cache", "transformers_version",
    }
)  # fmt: skip
"""Settings of a model's generation configuration that are implemented here."""
PROCESSED = frozenset(
    {
        "min_p", "typical_p", "top_h", "epsilon_cutoff", "eta_cutoff", "renormalize_logits", "remove_invalid_values",
        "no_repeat_ngram_size", "bad_words_ids", "sequence_bias", "min_length", "min_new_tokens", "forced_bos_token_id",
        "forced_eos_token_id", "suppress_tokens", "begin_suppress_tokens", "exponential_decay_length_penalty",
    }
)  # fmt: skip
"""Settings that ``generate``'s own processors of scores implement, text by text."""


class TextPreparation:
    """Runs on the tokenizer's thread, with a tokenizer of its own.

    Raises:
        ValueError: the model's generation configuration has a setting that is not implemented token by token.
    """

    def __init__(
        self, pipe: Any, description: Description, longest: int, capacity: Callable[[int], int], conf: Conf
    ) -> None:
        self._pipe = copy.copy(pipe)
        self._pipe.tokenizer = copy.deepcopy(pipe.tokenizer)
        self._pipe.tokenizer.model_max_length = int(1e30)  # it only warns; lengths are checked here
        self._decoder = pipe.tokenizer  # decoding is the model's thread
        self._model = pipe.model
        self._device = pipe.device
        self._description = description
        self._longest = longest
        self._capacity = capacity
        self._shared_prefixes = conf.shared_prefixes == "on"
        self._guesses = conf.speculation == "on"
        configured = self._model.generation_config.to_diff_dict()
        asked = {name for name, value in configured.items() if value not in (None, False) and name[0] != "_"}
        if foreign := asked - KNOWN - PROCESSED:
            raise ValueError(f"its generation configuration sets {', '.join(sorted(foreign))}")
        self._processed = bool(asked & PROCESSED)
        ends = _ends(self._model.generation_config)
        self._grammars = Grammars(self._pipe.tokenizer, description.vocabulary, ends)
        self._chat = compat.lookup("transformers.utils.chat_template_utils.Chat")

    def text(self, job: Job) -> Text:
        """Raises ``Invalid``."""
        if (tokenised := token_ids(job.input)) is None:
            prompt, more = self._prompt(job.input)
            ids = self._tokens(prompt, more)
        else:
            prompt, ids = whole(self._pipe.tokenizer, tokenised), [*tokenised]
        check_length(len(ids), self._description.longest_input)
        unused = OURS if job.parameters.get("do_sample", True) else OURS | SAMPLERS
        given = {name: value for name, value in job.parameters.items() if name not in unused}
        config = self._model._prepare_generation_config(None, **self._pipe._prepare_generate_kwargs(given))[0]
        stop_conditions = self._stop_conditions(job, len(ids), config)
        sampling = self._sampling(job, len(ids), config, stop_conditions.end_tokens)
        text = Text(
            job=job,
            prompt=prompt,
            ids=ids,
            prompt_tokens=len(ids),
            stop_conditions=stop_conditions,
            sampling=sampling,
            pieces=self._pieces(),
            capacity=self._capacity(len(ids) + stop_conditions.new_tokens),
            scope="" if self._shared_prefixes else job.cache_scope,
            drafts=Drafts() if self._guesses and sampling.grammar is None else None,
            postprocess=self._pipe._sanitize_parameters(return_full_text=_full_text(job))[2],
        )
        text.resume(job.resume)
        return text

    def _prompt(self, given: Any) -> tuple[Any, dict[str, Any]]:
        """What the pipeline calls a prompt, and what it wants to know with it. Raises ``Invalid``."""
        if isinstance(given, str):
            return given, {}
        if isinstance(given, list):
            return self._chat(given), {}
        if not (tools := given["tools"]):
            return self._chat(given["messages"]), {}
        if "tools" not in self._pipe.tokenizer.get_chat_template(tools=tools):
            raise Invalid("This model's chat template knows no tools; leave tools out, or ask another model.")
        return self._chat(given["messages"]), {"tools": tools}

    def _tokens(self, prompt: Any, more: dict[str, Any]) -> list[int]:
        try:
            encoded = self._pipe.preprocess(prompt, **self._pipe._preprocess_params | more)
        except (TemplateError, TypeError) as error:  # a template may also add what cannot be added
            raise Invalid(f"The model's chat template does not take these messages: {error}.") from error
        ids: list[int] = encoded["input_ids"][0].tolist()
        if not ids:
            raise Invalid("The input has no tokens; send a text that the model's tokenizer knows.")
        return ids

    def _stop_conditions(self, job: Job, prompt_tokens: int, config: Any) -> StopConditions:
        wanted = job.parameters.get("max_new_tokens")
        room = check_room(prompt_tokens, wanted, self._longest)
        default = config.max_new_tokens or max(1, (config.max_length or self._longest) - prompt_tokens)
        new_tokens = wanted or min(default, room)  # the default may be more than the model has places for
        check_least(job.parameters, new_tokens)
        ends = self._grammars.ends if "grammar" in job.parameters else _ends(config)
        return StopConditions(
            new_tokens=new_tokens,
            end_tokens=ends,
            stop=(*(config.stop_strings or ()), *job.parameters.get("stop", ())),
        )

    def _sampling(self, job: Job, prompt_tokens: int, config: Any, end_tokens: frozenset[int]) -> Sampling:
        return Sampling(
            do_sample=bool(config.do_sample),
            seed=job.parameters.get("seed", 0),
            temperature=_or(config.temperature, 1.0),
            top_k=_or(config.top_k, 0),
            top_p=_or(config.top_p, 1.0),
            repetition_penalty=_or(config.repetition_penalty, 1.0),
            processors=self._processors(prompt_tokens, config) if self._processed else None,
            adjustments=Adjustments.of(job.parameters, end_tokens),
            grammar=self._grammars.state(grammar) if (grammar := job.parameters.get("grammar")) else None,
            top_n_tokens=job.parameters.get("top_n_tokens", 0) if job.tokens else 0,
        )

    def _processors(self, prompt_tokens: int, config: Any) -> LogitsProcessorList:
        self._model._prepare_special_tokens(config, kwargs_has_attention_mask=True, device=self._device)
        config.max_length = prompt_tokens + (config.max_new_tokens or 0) or config.max_length
        return self._model._get_logits_processor(
            generation_config=config, input_ids_seq_length=prompt_tokens, device=self._device
        )

    def _pieces(self) -> Detokenizer:
        tokenizer = self._decoder
        if not tokenizer.is_fast:
            return Detokenizer(lambda ids: tokenizer.decode(ids, skip_special_tokens=True))
        backend = tokenizer.backend_tokenizer
        cleans = bool(tokenizer.clean_up_tokenization_spaces) and type(backend.model).__name__ != "BPE"
        if cleans:
            return Detokenizer(lambda ids: tokenizer.decode(ids, skip_special_tokens=True), cleans=True)
        return Detokenizer(lambda ids: backend.decode(ids, skip_special_tokens=True))


def _full_text(job: Job) -> bool | None:
    """Whether the answer has the prompt; of an object, it has the text alone."""
    if isinstance(job.input, dict) and token_ids(job.input) is None:
        return False
    return job.parameters.get("return_full_text")


def _ends(config: Any) -> frozenset[int]:
    """Tokens that end a text."""
    ends = config.eos_token_id
    return frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def answer(pipe: Any, text: Text) -> Any:
    """What the pipeline returns for a text that has ended."""
    outputs = {
        "generated_sequence": torch.tensor([[text.ids]]),
        "input_ids": torch.tensor([text.ids[: text.prompt_tokens]]),
        "prompt_text": text.prompt,
    }
    return pipe.postprocess(outputs, **pipe._postprocess_params | text.postprocess)


def whole(tokenizer: Any, ids: Sequence[int]) -> str:
    """The generated text as the pipeline's post-processing decodes it."""
    return tokenizer.decode(ids, skip_special_tokens=True)  # type: ignore[no-any-return]
