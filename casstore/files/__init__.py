"""Files on a disk: durable, whole or not there, of the right owner. No store in sight."""
