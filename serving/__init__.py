"""GraphQL over HTTP and WebSocket, and the page to explore it."""
