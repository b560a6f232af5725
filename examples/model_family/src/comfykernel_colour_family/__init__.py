"""A model family that paints the colours of its prompt."""
