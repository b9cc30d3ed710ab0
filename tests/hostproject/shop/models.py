from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    shoe_size = models.PositiveSmallIntegerField(default=42)


class Receipt(models.Model):
    """Written by the background worker."""

    text = models.CharField(max_length=200)

    def __str__(self) -> str:
        return self.text
