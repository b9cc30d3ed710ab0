import os
from typing import Any

from channels.routing import ChannelNameRouter, ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
django_application = get_asgi_application()

from shop.apps import ShopConfig
from shop.consumers import Chat, Receipts


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
    """Notes that the server has started and stopped; Daphne does not say so."""
    for event in ("startup", "shutdown"):
        await receive()
        if notes := os.environ.get("SHOP_ENDS"):
            ShopConfig.note(notes, f"lifespan {event}")
        await send({"type": f"lifespan.{event}.complete"})


application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": URLRouter([path("chat/", Chat.as_asgi())]),
        "channel": ChannelNameRouter({"receipts": Receipts.as_asgi()}),
        "lifespan": lifespan,
    }
)
