"""Stand-in for `comfy_api.latest.ui`: keeps what a node asks the interface to show."""


class _Shown:
    def __init__(self, *values, cls=None, **options):
        self.values, self.options = values, options


class PreviewImage(_Shown):
    pass


class PreviewMask(_Shown):
    pass
