"""What is told of the work while it goes on (`ditta_jax.teacher.child.EVENTS`), and to whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Event = Mapping[str, Any]
Report = Callable[[Event], None]
