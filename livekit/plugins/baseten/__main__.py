from ._cli import main

main("python -m livekit.plugins.baseten")
