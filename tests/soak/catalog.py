"""The pipelines of a soak run, which every worker process has, and the file that describes them."""

from inference.conf import BUNDLED_MODEL
from tests import processes
from tests.soak.faulty_worker import TORN

PIPELINES = ("first", "second", "third")
"""Those that are served, all by the bundled model; the first is the default one."""
TORN_PIPELINE = "broken"
"""The one that cannot be loaded; those after it in the file are."""
CATALOG = {PIPELINES[0]: str(BUNDLED_MODEL), TORN_PIPELINE: TORN} | dict.fromkeys(PIPELINES[1:], str(BUNDLED_MODEL))
"""Models by pipeline, in the order of the file."""


def written() -> dict[str, str]:
    """The setting with the file."""
    path = processes.scratch() / "soak.toml"
    path.write_text("\n".join(f'[{name}]\ntask = "fill-mask"\nmodel = "{model}"\n' for name, model in CATALOG.items()))
    return {"INFERENCE_PIPELINES": str(path)}
