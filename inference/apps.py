from django.apps import AppConfig, apps
from django.core.exceptions import ImproperlyConfigured


class InferenceConfig(AppConfig):
    name = "inference"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from inference import checks  # noqa: F401, PLC0415 - registers the system checks


def require() -> None:
    """Raises ``ImproperlyConfigured`` where Django's own errors would be about the model of the request log."""
    if not apps.models_ready:
        raise ImproperlyConfigured(
            "Inference is used before Django is set up: in asgi.py call get_asgi_application() before wrap(), "
            "elsewhere django.setup()."
        )
    if not apps.is_installed("inference"):
        raise ImproperlyConfigured("Inference is used, but 'inference' is not in INSTALLED_APPS.")
