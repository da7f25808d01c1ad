"""Stand-in for `comfy_api.latest.ui`: keeps what a node asks the interface to show."""


class _Shown:
    def __init__(self, *values, cls=None, **options):
        self.values, self.options = values, options


class PreviewImage(_Shown):
    pass


class PreviewMask(_Shown):
    pass


class PreviewText(_Shown):
    pass


class PreviewVideo(_Shown):
    def as_dict(self):
        return {"images": self.values[0], "animated": (True,)}


class SavedResult(dict):
    def __init__(self, filename, subfolder, type):
        super().__init__(filename=filename, subfolder=subfolder, type=type.value)
