"""Pages for people, without resources from elsewhere."""
