"""The `univigu` command: it starts and calls the other packages and holds no logic of theirs."""
