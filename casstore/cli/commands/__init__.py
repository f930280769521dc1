"""One module per command: HELP says what it takes, run(args, app) does it."""
