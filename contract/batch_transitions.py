"""The Lua scripts behind `contract.batches`: each checks the batch's state and changes it.

KEYS: record, live lines, outputs, errors, set of batches that have not ended. ARGV: batch id, then
what each script names. A line, known by its offset in the input, goes through them once: it is
taken when the batch's offset moves behind it, which nobody can do twice, and leaves the live lines
in the step that writes its outcome. So it does not matter how many drivers there are, or where one
dies. Outcomes stay for an hour after the end: another driver may be at writing the same files.
"""

from contract.indexes import SET_STATUS
from contract.outbox import ANNOUNCE
from contract.usage import KEEP

_COMMON = (
    ANNOUNCE
    + KEEP
    + SET_STATUS
    + """
local function is(...)
  local status = redis.call('HGET', KEYS[1], 'status')
  for _, wanted in ipairs({...}) do
    if status == wanted then return true end
  end
  return false
end
local function move(status, at)
  local account = redis.call('HGET', KEYS[1], 'account') or ''
  set_status(status, {'univigu:batches:', 'univigu:batches:' .. account})
  redis.call('HSET', KEYS[1], status .. '_at', at)
end
local function finish(status, at)
  move(status, at)
  redis.call('SREM', KEYS[5], ARGV[1])
  redis.call('DEL', KEYS[2])
  for index = 3, 4 do redis.call('EXPIRE', KEYS[index], 3600) end
  local account = redis.call('HGET', KEYS[1], 'account') or ''
  keep(account, ARGV[1], 0)
  announce('batch', status, at, account, '')
end
"""
)

#: total, now -> 1 | 0
BEGIN = (
    _COMMON
    + """
if not is('validating') then return 0 end
move('in_progress', ARGV[3])
redis.call('HSET', KEYS[1], 'total', ARGV[2])
return 1
"""
)

#: errors, now -> 1 | 0
FAIL = (
    _COMMON
    + """
if not is('validating', 'in_progress', 'finalizing', 'cancelling') then return 0 end
redis.call('HSET', KEYS[1], 'errors', ARGV[2])
finish('failed', ARGV[3])
return 1
"""
)

#: now -> 1 | 0
CANCEL = (
    _COMMON
    + """
if not is('validating', 'in_progress') then return 0 end
move('cancelling', ARGV[2])
redis.call('HSET', KEYS[1], 'ending', 'cancelled')
return 1
"""
)

#: ending or "", now -> 1 | 0
FINALIZE = (
    _COMMON
    + """
if not is('in_progress') then return 0 end
move('finalizing', ARGV[3])
redis.call('HSET', KEYS[1], 'ending', ARGV[2])
return 1
"""
)

#: offset before, offset after, custom id of a line that lives now or "", errors... -> 1 | 0
ADVANCE = (
    _COMMON
    + """
if not is('in_progress', 'finalizing', 'cancelling') then return 0 end
if redis.call('HGET', KEYS[1], 'offset') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'offset', ARGV[3])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[2], ARGV[2], ARGV[4]) end
for index = 5, #ARGV do
  redis.call('RPUSH', KEYS[4], ARGV[index])
  redis.call('HINCRBY', KEYS[1], 'failed', 1)
end
return 1
"""
)

#: offset of the line, 1 if it has completed, its outcome -> 1 | 0
SETTLE = (
    _COMMON
    + """
if redis.call('HDEL', KEYS[2], ARGV[2]) == 0 then return 0 end
local is_completed = ARGV[3] == '1'
redis.call('RPUSH', is_completed and KEYS[3] or KEYS[4], ARGV[4])
redis.call('HINCRBY', KEYS[1], is_completed and 'completed' or 'failed', 1)
return 1
"""
)

#: status, output file or "", error file or "", now -> 1 | 0
FINISH = (
    _COMMON
    + """
if not is('finalizing', 'cancelling') then return 0 end
redis.call('HSET', KEYS[1], 'output_file_id', ARGV[3], 'error_file_id', ARGV[4])
finish(ARGV[2], ARGV[5])
return 1
"""
)
