"""The playground in a browser, page by page: ``make test-pages``."""
