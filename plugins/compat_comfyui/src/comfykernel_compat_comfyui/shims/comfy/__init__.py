"""Sampling, models and what is needed around them."""
