"""The ASGI application: ``daphne inferencesite.asgi:application``."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "inferencesite.settings")

from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured

try:
    django_application = get_asgi_application()  # loads the apps, which everything that imports models needs
except ImproperlyConfigured as error:
    raise SystemExit(f"Configuration: {error}") from None

from inference.asgi import wrap

application = wrap(django_application)
