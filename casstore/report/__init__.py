"""The report: a store as one HTML page that needs nothing else."""
