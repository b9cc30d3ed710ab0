from django.contrib import admin
from django.urls import path

from shop import assistant, views

urlpatterns = [
    path("", views.home),
    path("upload/", views.upload),
    path("order/", views.order),
    path("receipts/", views.receipts),
    path("ticks/", views.ticks),
    path("fail/", views.fail),
    path("guess/", assistant.guess),
    path("tell/", assistant.tell),
    path("admin/", admin.site.urls),
]
