"""Address: a URL of a server or database as people and records may see it."""

from __future__ import annotations

import re


def shown(url: str) -> str:
    """A URL, or a line that holds one, without its password, which may hold any sign, so it ends at the last @."""
    url = re.sub(r"(?<!:)((?:password|passwd|pwd|token)=)[^&\s]+", r"\1***", url, flags=re.IGNORECASE)
    return re.sub(r"//([^:@/\s]*):.*@", r"//\1:***@", url)
