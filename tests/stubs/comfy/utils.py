from typing import ClassVar


class ProgressBar:
    """Keeps what was reported, in `ProgressBar.log`: (value, total, whether there was a preview)."""

    log: ClassVar[list] = []
    last_preview = None

    def __init__(self, total, node_id=None):
        self.total, self.node_id, self.current = total, node_id, 0

    def update_absolute(self, value, total=None, preview=None):
        self.total = total or self.total
        self.current = min(value, self.total)
        ProgressBar.log.append((self.current, self.total, preview is not None))
        ProgressBar.last_preview = preview or ProgressBar.last_preview

    def update(self, value):
        self.update_absolute(self.current + value)
