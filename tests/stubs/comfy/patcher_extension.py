class CallbacksMP:
    ON_LOAD = "on_load_after"


class WrappersMP:
    DIFFUSION_MODEL = "diffusion_model"
