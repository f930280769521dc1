"""The server: a store's images over HTTP, for registry clients and for front ends of Docker."""
