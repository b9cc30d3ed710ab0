"""Database models. Loaded in every process; read and written in web processes and by commands."""

from inference.models.api_key import ApiKey
from inference.models.audit_chain import AuditChain
from inference.models.inference_request import InferenceRequest
from inference.models.live import Live
from inference.models.pipeline_control import HostDrain, PipelineControl
from inference.models.roll_up import RollUp, RollUpDelta
from inference.models.stamp import Stamp
from inference.models.usage import Usage

__all__ = [
    "ApiKey",
    "AuditChain",
    "HostDrain",
    "InferenceRequest",
    "Live",
    "PipelineControl",
    "RollUp",
    "RollUpDelta",
    "Stamp",
    "Usage",
]
