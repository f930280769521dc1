"""What the server allows a client: how much, how many, how long. SECURITY.md lists these."""

from __future__ import annotations

# Of one request's head.
MAX_HEAD = 64 << 10  # bytes; nginx has four buffers of 8k, Go a mebibyte
MAX_FIELDS = 100  # header fields, as Apache has it (LimitRequestFields)
MAX_TARGET = 32 << 10  # bytes; RFC 9110, 4.1 asks for 8000, docker save puts every name into it
MAX_ARGUMENTS = 2000  # of a query

# Times, in seconds.
HEAD_SECONDS = 20.0  # from the first byte of a request to the end of its head; of a TLS handshake
IDLE_SECONDS = 75.0  # between two requests, as nginx has it (keepalive_timeout)
STALL_SECONDS = 60.0  # without a byte of a body, or without one that the client takes
GRACE_SECONDS = 30.0  # that running requests get to end when the server is told to

# A body may not be slower than this over the time that was spent waiting for it, after the first
# STALL_SECONDS of that: a byte every 59 seconds would hold a thread for ever. Either way.
MIN_RATE = 1024  # bytes a second

# What the rest of a body that nobody reads may be.
SKIP = 256 << 10  # bytes that are read, so that the connection can be used again
LINGER = 64 << 20  # bytes that are read after the answer, so that the client comes to read it
LINGER_SECONDS = 5.0

MAX_CONNECTIONS = 256  # at one time, each of them a thread
MAX_REFUSED = 64  # connections beyond that which are told so; others are closed
REFUSED_SECONDS = 2.0  # for which one of them may stay open to read that

PIECE = 128 << 10  # bytes of a body that are in memory
