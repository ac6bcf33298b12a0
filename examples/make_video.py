"""Make a video with its caption: python examples/make_video.py "a red circle moving left"."""

import os
import sys

from univigu_client import Client

URL = os.environ.get("UNIVIGU_URL", "http://127.0.0.1:8000")

with Client(URL, os.environ.get("UNIVIGU_API_KEY")) as client:
    job = client.create_video(sys.argv[1], seed=1)
    job = client.wait(job, lambda job: print(f"{job.status} {job.progress} %"))
    if job.status != "completed":
        sys.exit(f"{job.id} is {job.status}: {job.error}")
    client.download(job, "video.mp4")
    client.download(job, "video.vtt", "vtt")
    print(job.text)
