"""WebSocket side of the transport: connections, and what is told to whom."""
