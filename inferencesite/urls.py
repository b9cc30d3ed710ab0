"""Django views: only the admin. What serves inference are consumers (``inference.routing``)."""

from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
