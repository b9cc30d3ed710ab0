"""Where a checkpoint is: a folder, a model on the Hub, or a GGUF file in one of them.

GGUF is the format of llama.cpp: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. transformers reads its
configuration, tokenizer and weights, which it takes back from their 2 to 8 bits to floats.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers.models.auto import modeling_auto

from inference.backends.base import LoadFailed
from inference.conf import GGUF, Conf

READERS = ("gguf", "accelerate")
"""What transformers reads such a file with."""


@dataclass(frozen=True, slots=True)
class Source:
    model: str
    """A folder or a Hub id."""
    revision: str = ""
    gguf: str = ""
    """Path of a GGUF file in it; empty where the checkpoint is in files of its own."""

    @classmethod
    def of(cls, conf: Conf) -> "Source":
        """Of ``/models/chat.gguf``, or ``owner/name/chat.gguf`` on the Hub, the last part is a file."""
        path = Path(conf.model)
        if path.suffix != GGUF or path.is_dir():
            return cls(conf.model, conf.revision)
        if path.is_file():
            return cls(str(path.parent), conf.revision, path.name)
        owner, _, rest = conf.model.partition("/")
        name, _, file = rest.partition("/")
        return cls(f"{owner}/{name}", conf.revision, file)

    @property
    def file(self) -> Path | None:
        """The GGUF file, if it is on this machine under a name of its own."""
        path = Path(self.model, self.gguf)
        return path if self.gguf and path.is_file() else None

    def arguments(self) -> dict[str, Any]:
        """For ``from_pretrained`` of whatever class."""
        file = {"gguf_file": self.gguf} if self.gguf else {}
        return {
            "pretrained_model_name_or_path": self.model,
            "revision": self.revision or None,
            "trust_remote_code": False,
            **file,
        }

    def check_readers(self) -> None:
        """Raises ``LoadFailed``."""
        if self.gguf and (missing := [name for name in READERS if find_spec(name) is None]):
            packages = " and ".join(missing)
            raise LoadFailed(f"GGUF files are read with {packages}, not installed here: pip install {packages}.")

    def with_architecture(self, config: Any) -> Any:
        """GGUF names a family and no head; its checkpoints generate text, or are encoders and decoders as T5."""
        if self.gguf and not config.architectures:
            kind = config.model_type
            causal, both = (
                modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
                modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
            )
            config.architectures = [found] if (found := causal.get(kind) or both.get(kind)) else None
        return config
