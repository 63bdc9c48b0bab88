"""What a link's code may be."""

import re

CODE = re.compile(r"[A-Za-z0-9_-]{1,64}")
