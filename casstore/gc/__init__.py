"""gc with a policy: read the facts, plan, and carry the plan out in short turns."""
