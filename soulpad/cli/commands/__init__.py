"""One module a command: EPILOG, add_arguments(parser), run(arguments)."""
