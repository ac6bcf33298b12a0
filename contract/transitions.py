"""The Lua scripts behind `contract.jobs`: each checks the record's state and changes it.

KEYS: record, event log, set of live jobs, figures of ended jobs. ARGV: job id, longest event log,
then what each script names. Each keeps its log entry and its state change in one atomic step, and
an end is counted in the step that makes it: `contract.figures` reads those counts.
"""

from contract.events import ENDS_CHANNEL
from contract.job_lists import MOVE
from contract.outbox import ANNOUNCE
from contract.usage import KEEP

#: upper bounds of the histograms, in seconds, as they are written
BUCKETS = ("0.1", "0.5", "1", "2", "5", "10", "30", "60", "120", "300", "600", "1800", "3600")

_LOG = (
    f"local buckets = {{{', '.join(map(repr, BUCKETS))}}}"
    + ANNOUNCE
    + KEEP
    + MOVE
    + f"local ends = '{ENDS_CHANNEL}'"
    + """
local function log(type, data)
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'type', type, 'data', data)
end
local function owned(attempt)
  local now = redis.call('HMGET', KEYS[1], 'attempt', 'status')
  return now[1] == attempt and now[2] == 'in_progress'
end
local function observe(name, seconds)
  local bucket = '+Inf'
  for _, bound in ipairs(buckets) do
    if seconds <= tonumber(bound) then bucket = bound break end
  end
  redis.call('HINCRBY', KEYS[4], name .. '|' .. bucket, 1)
  redis.call('HINCRBYFLOAT', KEYS[4], name .. '|sum', tostring(seconds))
end
local function finish(status, at, result, error)
  local job = redis.call('HMGET', KEYS[1], 'kind', 'created_at', 'started_at', 'account',
    'webhook_url', 'input_bytes')
  local kind, started = job[1], tonumber(job[3] or nil)
  move(status)
  redis.call('HSET', KEYS[1], 'completed_at', at)
  redis.call('SREM', KEYS[3], ARGV[1])
  redis.call('PUBLISH', ends, ARGV[1])
  if job[4] and job[4] ~= '' then redis.call('SREM', KEYS[3] .. ':' .. job[4], ARGV[1]) end
  announce(kind, status, at, job[4] or '', job[5] or '')
  local code = error ~= '' and cjson.decode(error).code or ''
  redis.call('HINCRBY', KEYS[4], 'ended|' .. kind .. '|' .. status .. '|' .. code, 1)
  if started then observe('wait|' .. kind, math.max(0, started - tonumber(job[2]))) end
  if result == '' then return end
  if started then observe('run|' .. kind, math.max(0, tonumber(at) - started)) end
  local made = cjson.decode(result)
  keep(job[4] or '', ARGV[1], (job[6] or 0) + (made.stored_bytes or 0))
  for stage, seconds in pairs(made.stage_durations) do
    observe('stage|' .. kind .. '|' .. stage, seconds)
  end
end
"""
)

#: owner, now -> attempt | 0
CLAIM = (
    _LOG
    + """
local status = redis.call('HGET', KEYS[1], 'status')
if status ~= 'queued' and status ~= 'in_progress' then return 0 end
if redis.call('HEXISTS', KEYS[1], 'cancel_requested_at') == 1 then
  finish('cancelled', ARGV[4], '', '')
  log('cancelled', '{}')
  return 0
end
local attempt = redis.call('HINCRBY', KEYS[1], 'attempt', 1)
redis.call('HSETNX', KEYS[1], 'started_at', ARGV[4])
move('in_progress')
redis.call('HSET', KEYS[1], 'owner', ARGV[3], 'phase', '', 'step', 0, 'of', 0)
log('started', cjson.encode({attempt = attempt}))
return attempt
"""
)

#: attempt, event, data, phase, step, of -> accepted | cancel_requested | not_mine
PROGRESS = (
    _LOG
    + """
if not owned(ARGV[3]) then return 'not_mine' end
if redis.call('HEXISTS', KEYS[1], 'cancel_requested_at') == 1 then return 'cancel_requested' end
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[1], 'phase', ARGV[6], 'step', ARGV[7], 'of', ARGV[8])
end
if ARGV[4] ~= '' then log(ARGV[4], ARGV[5]) end
return 'accepted'
"""
)

#: attempt -> 1 | 0
RELEASE = (
    _LOG
    + """
if not owned(ARGV[3]) then return 0 end
move('queued')
redis.call('HSET', KEYS[1], 'owner', '')
log('queued', cjson.encode({attempt = tonumber(ARGV[3])}))
return 1
"""
)

#: attempt, status, now, result, error -> 1 | 0; a repeated accepted call answers 1
FINISH = (
    _LOG
    + """
local now = redis.call('HMGET', KEYS[1], 'attempt', 'status')
if now[1] == ARGV[3] and now[2] == ARGV[4] then return 1 end
if not owned(ARGV[3]) then return 0 end
finish(ARGV[4], ARGV[5], ARGV[6], ARGV[7])
redis.call('HSET', KEYS[1], 'result', ARGV[6], 'error', ARGV[7])
local data = ARGV[7]
if data == '' then data = '{}' end
log(ARGV[4], data)
return 1
"""
)

#: attempt, now, error -> 1 | 0; for a job that no slot holds, queued or not
ABANDON = (
    _LOG
    + """
local now = redis.call('HMGET', KEYS[1], 'attempt', 'status')
if (now[1] or '0') ~= ARGV[3] then return 0 end
if now[2] ~= 'queued' and now[2] ~= 'in_progress' then return 0 end
finish('failed', ARGV[4], '', ARGV[5])
redis.call('HSET', KEYS[1], 'error', ARGV[5])
log('failed', ARGV[5])
return 1
"""
)

#: now -> status after the call | nil
CANCEL = (
    _LOG
    + """
local status = redis.call('HGET', KEYS[1], 'status')
if not status then return nil end
if status == 'queued' then
  finish('cancelled', ARGV[3], '', '')
  log('cancelled', '{}')
  return 'cancelled'
end
if status == 'in_progress' then
  if redis.call('HSETNX', KEYS[1], 'cancel_requested_at', ARGV[3]) == 1 then
    log('cancel_requested', '{}')
  end
end
return status
"""
)
