"""The package's emulator in a process of its own, with a recognizer that takes a known time.

    python benchmarks/emulator_server.py MILLISECONDS

It prints its port, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import sys
from urllib.parse import urlsplit

from livekit.plugins.baseten.emulator import serve


async def main() -> None:
    async with serve(latency_s=float(sys.argv[1]) / 1000, record=False) as server:
        print(urlsplit(server.url).port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
