"""What a local store does about damage, and about what other tools wrote into it."""
