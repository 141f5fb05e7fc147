"""The settings of a run: one schema, strict files, `--config.key=value` on the command line.

A configuration file defines `get_config()`, which starts from `default_config()` and changes
values; what the schema does not know, of another type or out of range is refused in one line.
"""

from ditta_jax.configuration.check import check_value, checked
from ditta_jax.configuration.command_line import from_command_line
from ditta_jax.configuration.schema import default_config

__all__ = ["check_value", "checked", "default_config", "from_command_line"]
