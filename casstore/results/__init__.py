"""What the Store's methods return: plain immutable records, by the part of Store that returns them.

Times are nanoseconds since 1970 or None, and `created_at` is `created` as a datetime; sizes are
bytes; references are in attach order.
"""
