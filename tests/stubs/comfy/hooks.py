import enum


class EnumHookMode(enum.Enum):
    MinVram = "minvram"
