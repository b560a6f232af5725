"""What runs in a worker besides the nodes: the HTTP routes of packs, and answers for the server."""
