"""How a checkpoint's texts are generated unless a request says otherwise: as the pipelines of transformers 4 did it."""

import copy
from typing import Any

from inference.backends.transformers.generation.preparation import KNOWN, PROCESSED

DEFAULT_NEW_TOKENS = 256
DEFAULT_BEAMS = 4
"""The pipelines' own defaults, where the checkpoint has none. (4.57 takes them although the checkpoint has others for
beams, which its documentation says it does not.)"""
UNSET_LENGTH = 20
"""``max_length`` that old versions wrote where none was set."""
SEARCHED = frozenset({"num_beams", "early_stopping", "length_penalty", "decoder_start_token_id"})
SEQ2SEQ_PROCESSED = PROCESSED | {"encoder_repetition_penalty", "encoder_no_repeat_ngram_size"}


def specific_settings(config: Any, task: str) -> dict[str, Any]:
    """What the model's configuration says for a task alone; for one with several entries (T5's pairs of languages),
    the first.
    """
    specific = getattr(config, "task_specific_params", None) or {}
    name = next((name for name in specific if name == task or name.startswith(f"{task}_")), None)
    return dict(specific[name]) if name else {}


def base_configuration(model: Any, tokenizer: Any) -> Any:
    """The checkpoint's generation configuration, with the pipelines' defaults in it."""
    base = copy.deepcopy(model.generation_config)
    if not base.max_new_tokens and base.max_length in (None, UNSET_LENGTH):
        base.max_new_tokens = DEFAULT_NEW_TOKENS
    if base.num_beams is None:
        base.num_beams = 1 if base.do_sample else DEFAULT_BEAMS
    if base.pad_token_id is None:
        base.pad_token_id = tokenizer.pad_token_id
    return base


def check_implemented(base: Any) -> None:
    """Raises ``ValueError`` for a setting that is not implemented token by token."""
    asked = {name for name, value in base.to_diff_dict().items() if value not in (None, False) and name[0] != "_"}
    if foreign := asked - KNOWN - SEARCHED - SEQ2SEQ_PROCESSED:
        raise ValueError(f"its generation configuration sets {', '.join(sorted(foreign))}")
    if base.do_sample and base.num_beams > 1:
        raise ValueError("its generation configuration draws tokens for beams")


def is_processed(config: Any) -> bool:
    """Whether scores go through processors of ``generate``; asked before defaults are filled in."""
    return any(getattr(config, name, None) not in (None, False, 0) for name in SEQ2SEQ_PROCESSED)
