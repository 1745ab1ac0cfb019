#!/bin/sh
cat <<'TEXT'

Hello from Docker!
This is docklab's stand-in for the image hello-world.

The client asked the engine for a container, the engine made one from the image,
and what you read came back to your terminal from the program inside it.

TEXT
