"""The commands of the command line, one file a subject; each adds its own to the parser."""
