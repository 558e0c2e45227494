"""Celery: the doorbell. Messages carry one id; losing every one of them loses time, not work."""
