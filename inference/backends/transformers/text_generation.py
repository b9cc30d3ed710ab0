"""text-generation: token by token for many texts at once, or else one text after the other."""

from inference.backends.base import BatchedPipeline
from inference.backends.transformers.generation.draft_model import load_draft_model
from inference.backends.transformers.generation.fusing import FAMILIES
from inference.backends.transformers.generation.self_check import continuous
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.task import Report, TransformersTask
from inference.backends.transformers.unbatched import UnbatchedTextGeneration
from inference.conf import Conf


def build(loaded: Loaded, conf: Conf, report: Report) -> BatchedPipeline:
    generator = continuous(loaded, conf, report)
    if generator is None:
        return UnbatchedTextGeneration(loaded)
    if conf.draft_model and conf.speculation == "on":
        generator.draft_model = load_draft_model(generator, loaded, conf, report)
    return generator


TASK = TransformersTask(
    auto_class="AutoModelForCausalLM",
    architectures=("ForCausalLM", "LMHeadModel"),
    exclusive=True,
    build=build,
    in_place=FAMILIES,
    warm_up_parameters={"max_new_tokens": 2, "seed": 0},
    # Texts that end after exactly so many tokens: what a step of the model costs shows in the difference.
    call_parameters=[{"max_new_tokens": tokens, "min_new_tokens": tokens} for tokens in (2, 16)],
)
