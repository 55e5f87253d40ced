"""Made-up requests at every route of the API, against a real daemon."""
