"""The model that commands use where none is named."""

DEFAULT_MODEL = "portraits"
