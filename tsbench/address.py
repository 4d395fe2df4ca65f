"""Address: a URL of a server or database as people and records may see it."""

from __future__ import annotations

import re


def shown(url: str) -> str:
    """A URL, or an argument that holds one, without its password, which may hold any sign but a space."""
    url = re.sub(r"//([^:@/\s]*):\S*@", r"//\1:***@", url)
    return re.sub(r"((?:password|passwd|pwd|token)=)[^&\s]+", r"\1***", url, flags=re.IGNORECASE)
