"""What every test may ask for: real Redis and S3 servers, each on 127.0.0.1 and a free port."""

import signal

pytest_plugins = [
    "redis_servers",
    "s3_servers",
    "server_apps",
    "checkpoints",
    "webhook_receivers",
    "chat_servers",
    "trace_collectors",
    "batch_house",
    "batching_house",
    "client_house",
]

# what a shell starts in the background ignores Ctrl-C, and so would every process of the tests
signal.signal(signal.SIGINT, signal.default_int_handler)
