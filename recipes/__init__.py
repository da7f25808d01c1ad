"""How the networks that ship with the library are made."""
