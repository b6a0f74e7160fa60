"""Resilience: retry with backoff, rate limits, the circuit breaker of each endpoint, a bounded fan-out.

May import the ground floor only. Begin with retry.py, the one retry loop.
"""
