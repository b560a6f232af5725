"""A node pack with two nodes."""
