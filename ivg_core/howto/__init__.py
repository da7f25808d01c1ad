"""From a text of several steps to one instruction video: the plan, and what is made of its finished steps."""
