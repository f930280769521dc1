"""The Docker Engine API over a store: what docker's clients ask about images."""
