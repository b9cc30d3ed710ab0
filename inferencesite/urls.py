"""Django's URLs: the admin and its icon. What serves inference are consumers (``inference.asgi``)."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import path
from django.views.generic import RedirectView

admin.site.site_header = admin.site.site_title = "Inference server"
admin.site.index_title = "Administration"
admin.site.enable_nav_sidebar = False  # the table of the request log needs the width

handler400 = "inference.api.handlers.bad_request"
handler404 = "inference.api.handlers.not_found"
urlpatterns = [
    path("admin/", admin.site.urls),
    path("favicon.ico", RedirectView.as_view(url=static("inference/icon.svg"))),  # the admin's pages name none
]
