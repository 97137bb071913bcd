"""The consuming side: the Celery app, a worker's life cycle, and one thin task."""
