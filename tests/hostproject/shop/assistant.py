"""What the team builds on inference."""

from django.http import HttpRequest, HttpResponse, JsonResponse

from inference import event_stream_response, infer_sync, stream
from inference.errors import InferenceError


def guess(request: HttpRequest) -> JsonResponse:
    """The likeliest next word of a sentence."""
    try:
        [best] = infer_sync(request.GET["sentence"] + " [MASK]", {"top_k": 1})
    except InferenceError as error:
        return JsonResponse({"error": error.message}, status=error.status)
    return JsonResponse({"word": best["token_str"]})


async def tell(request: HttpRequest) -> HttpResponse:
    """A story, word by word."""
    try:
        return await event_stream_response(stream(request.GET["beginning"]))
    except InferenceError as error:
        return JsonResponse({"error": error.message}, status=error.status)
