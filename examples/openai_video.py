"""The same with the stock `openai` package: python examples/openai_video.py "a red circle"."""

import os
import sys
import warnings

from openai import OpenAI

warnings.simplefilter("ignore", DeprecationWarning)  # OpenAI retires its own video service

URL = os.environ.get("UNIVIGU_URL", "http://127.0.0.1:8000")

client = OpenAI(base_url=f"{URL}/v1", api_key=os.environ.get("UNIVIGU_API_KEY", "unused"))
video = client.videos.create_and_poll(prompt=sys.argv[1], extra_body={"seed": 1})
if video.error:
    sys.exit(f"{video.id} is {video.status}: {video.error.message}")
client.videos.download_content(video.id).write_to_file("video.mp4")
print(video.caption)
