import asyncio
from collections.abc import AsyncIterator

from channels.layers import get_channel_layer
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.template import engines

from shop.models import Receipt

HOME = engines["django"].from_string("""<!doctype html><title>Shop</title>
<style>h1 { color: teal }</style><h1>Shoes</h1><script>document.title += " is open"</script>""")


def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse(HOME.render({}, request))


def upload(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{len(request.body)} bytes")


async def order(request: HttpRequest) -> HttpResponse:
    """Leaves the receipt to the background worker."""
    await get_channel_layer().send("receipts", {"type": "print.receipt", "text": request.GET["what"]})
    return HttpResponse(status=202)


def receipts(request: HttpRequest) -> JsonResponse:
    return JsonResponse([receipt.text for receipt in Receipt.objects.all()], safe=False)


async def ticks(request: HttpRequest) -> StreamingHttpResponse:
    async def tick() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number}\n"
            await asyncio.sleep(0.01)

    return StreamingHttpResponse(tick(), headers={"X-Shop": "ticks"})


def fail(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError
