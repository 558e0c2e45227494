"""Offline training: the only place that knows torch. Never imported by the node."""
