def calculate_weight(patches, weight, key):
    """A weight with patches on it."""
    for strength, adapter in patches:
        if isinstance(adapter, tuple):  # a plain difference
            weight = weight + strength * adapter[0]
        else:
            weight = adapter.calculate_weight(weight, strength)
    return weight
