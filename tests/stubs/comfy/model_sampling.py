"""Names only: core samples nothing here."""


class ModelSamplingDiscrete:
    pass


class EPS:
    pass


class V_PREDICTION:
    pass


class X0:
    pass
