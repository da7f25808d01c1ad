from torch.nn import Identity as TAESD  # noqa: F401  (it has no weights here)
