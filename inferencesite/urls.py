"""Django's URLs: only the admin. What serves inference are consumers (``inference.asgi``)."""

from django.contrib import admin
from django.urls import path

handler404 = "inference.api.not_found.not_found"
urlpatterns = [path("admin/", admin.site.urls)]
