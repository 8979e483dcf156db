"""What a server says, before it is JSON."""

from __future__ import annotations

from typing import Any

Message = dict[str, Any]
