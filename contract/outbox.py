"""Events that somebody wants to be told of, written in the same step that ends their subject.

`contract.deliveries` takes them out.
"""

from __future__ import annotations

OUTBOX_KEY = "univigu:outbox"
_ENDPOINTS = "univigu:webhooks:"

#: part of every script that ends a job or a batch; where nobody listens nothing is written
ANNOUNCE = f"""
local subjects = {{generate = 'video', understand = 'caption', batch = 'batch'}}
local function announce(kind, status, at, account, url)
  if url == '' and redis.call('EXISTS', '{_ENDPOINTS}' .. account) == 0 then return end
  redis.call('XADD', '{OUTBOX_KEY}', '*', 'type', subjects[kind] .. '.' .. status, 'id', ARGV[1],
    'account', account, 'at', at, 'url', url)
end
"""


def endpoints_key(account: str) -> str:
    """Return the Redis key of the hash of an account's webhook endpoints."""
    return _ENDPOINTS + account
