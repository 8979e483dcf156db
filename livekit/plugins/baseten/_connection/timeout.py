"""`timeout`, of asyncio since Python 3.11, of `async_timeout` before.

`asyncio.wait_for` will not do: before Python 3.12 it may return as if nothing was when it is
cancelled in the instant in which the work is done (python/cpython#86296), and who cancelled waits
for ever.
"""

import sys

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

__all__ = ["timeout"]
