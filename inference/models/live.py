"""The live page, which has permissions and no table."""

from typing import ClassVar

from inference.models.inference_request import InferenceRequest


class Live(InferenceRequest):
    """What the process does now. A proxy, so that the admin lists the page and Django makes its permissions."""

    class Meta:
        proxy = True
        verbose_name = verbose_name_plural = "live"
        default_permissions = ()
        permissions: ClassVar = [
            ("view_live", "Can view the live page"),
            ("operate_pipelines", "Can load, unload and reload pipelines and drain hosts"),
        ]
