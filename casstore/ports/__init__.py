"""What a backend offers, and what transfer asks of it. Protocols only: nothing here runs."""
