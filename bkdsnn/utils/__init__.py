"""Helpers without a home of their own."""
