"""Workers are started anew when the source of a node pack changes."""
