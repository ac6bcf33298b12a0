"""Follow a video while it is made: python examples/follow_video.py "a red circle moving left"."""

import os
import sys

from univigu_client import Client

URL = os.environ.get("UNIVIGU_URL", "http://127.0.0.1:8000")

with Client(URL, os.environ.get("UNIVIGU_API_KEY")) as client:
    job = client.create_video(sys.argv[1], seed=1)
    for event in client.events(job):
        print(event.type, dict(event.data))
