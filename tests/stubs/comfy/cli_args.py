import types

args = types.SimpleNamespace(disable_metadata=False)
