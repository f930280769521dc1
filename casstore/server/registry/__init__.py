"""The OCI distribution API over a store: api.py has the routes, in one table."""
