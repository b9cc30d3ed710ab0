"""Django's URLs: only the admin. What serves inference are consumers (``inference.asgi``)."""

from django.contrib import admin
from django.urls import path

admin.site.site_header = admin.site.site_title = "Inference server"
admin.site.index_title = "Administration"
admin.site.enable_nav_sidebar = False  # the table of the request log needs the width

handler400 = "inference.api.handlers.bad_request"
handler404 = "inference.api.handlers.not_found"
urlpatterns = [path("admin/", admin.site.urls)]
