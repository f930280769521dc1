"""What runs under the lock: the order of effects, and what a change is made of."""
