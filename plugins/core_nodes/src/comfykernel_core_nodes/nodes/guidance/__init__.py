"""Nodes that change how the predictions of a run are guided, and leave out steps."""
