"""Stand-in for ComfyUI's `server`: keeps what would be shown on nodes."""


class PromptServer:
    instance = None

    def __init__(self):
        self.client_id = "me"
        self.shown: list[tuple[str, str]] = []

    def send_progress_text(self, text, node_id, sid=None):
        assert sid == self.client_id
        self.shown.append((node_id, text))


PromptServer.instance = PromptServer()
