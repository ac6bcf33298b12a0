"""What every test may ask for: real Redis and S3 servers, each on 127.0.0.1 and a free port."""

pytest_plugins = [
    "redis_servers",
    "s3_servers",
    "server_apps",
    "checkpoints",
    "webhook_receivers",
    "chat_servers",
]
