class ExecutionBlocker:
    """Stands for an output whose users are not run; `message` None blocks them silently."""

    def __init__(self, message):
        self.message = message
