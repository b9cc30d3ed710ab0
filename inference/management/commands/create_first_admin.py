"""``manage.py create_first_admin``: a superuser for a fresh installation."""

import secrets
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.urls import reverse

NAME = "admin"


class Command(BaseCommand):
    help = "Creates the superuser `admin` and prints its random password. Does nothing if any user exists."

    def handle(self, *_: Any, **options: Any) -> None:
        users = get_user_model().objects
        if users.exists():
            return
        password = secrets.token_urlsafe(12)
        users.create_superuser(NAME, password=password)
        self.stdout.write(
            f"Request log: {reverse('admin:index')}, user {NAME}, password {password} (shown only now; "
            f"`manage.py changepassword {NAME}` sets another)"
        )
