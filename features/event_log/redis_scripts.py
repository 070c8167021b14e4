"""What the event log does inside Redis: each script is done as a whole or not at all.

Keys, all with the log's prefix in braces, so that they lie together in a cluster:

    settings      hash: format, id and salt of the log, its last `position`, how often something was
                  erased (`erased`), and up to which of those the disk is free of it (`cleaned`)
    entries       hash: position -> record as `features.event_log.redis_records` packs it
    order:<kind>  stream: a `<position>-0` for each entry, and nothing else: what is deleted from a
                  stream stays in its memory and in the files of the server as long as its
                  neighbours do, so that nothing of a person may be in one
    keys:<kind>   set: keys of the kind
    user:<id>     set: positions of the user's entries
    drains        hash: drain -> position
    erased        set: salted hashes of erased users
"""

FORMAT = 1

# Redis wants integers as text: as numbers they lose digits from 1e14 on.
_COMMON = """
local settings, base, id = KEYS[1], ARGV[1], ARGV[2]
if redis.call('HGET', settings, 'id') ~= id then
  return redis.error_reply('ERR it is not the log that was opened: the server lost it or was '
    .. 'emptied; start what uses it again')
end
local function unpacked(record)
  local num_kind, num_key, num_user, at, kind_at = struct.unpack('<BI4I4i8', record)
  local key_at = kind_at + num_kind
  local user_at = key_at + num_key
  return string.sub(record, kind_at, key_at - 1), string.sub(record, key_at, user_at - 1),
    string.sub(record, user_at, user_at + num_user - 1), at
end
local function add(position, kind, user, record)
  local place = string.format('%.0f', position)
  redis.call('XADD', base .. 'order:' .. kind, place .. '-0', '', '')
  redis.call('HSET', base .. 'entries', place, record)
  redis.call('SADD', base .. 'user:' .. user, place)
end
local function delete(place, kind, key, user)
  redis.call('XDEL', base .. 'order:' .. kind, place .. '-0')
  redis.call('HDEL', base .. 'entries', place)
  redis.call('SREM', base .. 'keys:' .. kind, key)
  redis.call('SREM', base .. 'user:' .. user, place)
end
local function to_be_cleaned(num_deleted)
  if num_deleted > 0 then
    redis.call('HINCRBY', settings, 'erased', 1)
  end
  return tonumber(redis.call('HGET', settings, 'erased'))
end
"""

OPEN = """
-- format, id and salt of a log that is to be made where there is none -> {format, id, salt}
local settings = KEYS[1]
if redis.call('EXISTS', settings) == 0 then
  redis.call('HSET', settings, 'format', ARGV[1], 'id', ARGV[2], 'salt', ARGV[3],
    'position', '0', 'erased', '0', 'cleaned', '0')
end
return redis.call('HMGET', settings, 'format', 'id', 'salt')
"""

APPEND = (
    _COMMON
    + """
-- for each record: hash of its user, record -> a letter each: added, known, erased
local before = tonumber(redis.call('HGET', settings, 'position'))
local position = before
local outcomes = {}
for place = 3, #ARGV, 2 do
  local record = ARGV[place + 1]
  local kind, key, user = unpacked(record)
  if redis.call('SISMEMBER', base .. 'erased', ARGV[place]) == 1 then
    outcomes[#outcomes + 1] = 'e'
  elseif redis.call('SADD', base .. 'keys:' .. kind, key) == 0 then
    outcomes[#outcomes + 1] = 'k'
  else
    position = position + 1
    add(position, kind, user, record)
    outcomes[#outcomes + 1] = 'a'
  end
end
if position > before then
  redis.call('HSET', settings, 'position', string.format('%.0f', position))
end
return table.concat(outcomes)
"""
)

ERASE = (
    _COMMON
    + """
-- user, hash of the user, record of the erasure -> {deleted entries, number of this erasure}
local user, record = ARGV[3], ARGV[5]
local deleted = 0
for _, place in ipairs(redis.call('SMEMBERS', base .. 'user:' .. user)) do
  local kind, key = unpacked(redis.call('HGET', base .. 'entries', place))
  if kind ~= 'erasure' then
    delete(place, kind, key, user)
    deleted = deleted + 1
  end
end
redis.call('SADD', base .. 'erased', ARGV[4])
if redis.call('SADD', base .. 'keys:erasure', user) == 1 then
  add(redis.call('HINCRBY', settings, 'position', 1), 'erasure', user, record)
end
return {deleted, to_be_cleaned(deleted)}
"""
)

COMPLETE_ERASURE = (
    _COMMON
    + """
-- user, hash of the user in hexadecimal -> {deleted entries, number of this erasure}
local user, hash = ARGV[3], ARGV[4]
local deleted = 0
for _, place in ipairs(redis.call('SMEMBERS', base .. 'user:' .. user)) do
  local kind, key, _, at = unpacked(redis.call('HGET', base .. 'entries', place))
  if kind == 'erasure' then
    delete(place, kind, key, user)
    deleted = deleted + 1
    if redis.call('SADD', base .. 'keys:erased', hash) == 1 then
      local record = struct.pack('<BI4I4i8', #'erased', #hash, 0, at) .. 'erased' .. hash .. '{}'
      add(redis.call('HINCRBY', settings, 'position', 1), 'erased', '', record)
    end
  end
end
return {deleted, to_be_cleaned(deleted)}
"""
)

MARK_CLEANED = (
    _COMMON
    + """
-- number of an erasure that no file of the server holds any more, nor any before it
if tonumber(ARGV[3]) > tonumber(redis.call('HGET', settings, 'cleaned')) then
  redis.call('HSET', settings, 'cleaned', ARGV[3])
end
return 1
"""
)

MARK_DRAINED = (
    _COMMON
    + """
-- drain, position -> 1, or 0 where it had got further
local found = redis.call('HGET', base .. 'drains', ARGV[3])
if found and tonumber(found) > tonumber(ARGV[4]) then
  return 0
end
redis.call('HSET', base .. 'drains', ARGV[3], ARGV[4])
return 1
"""
)

PRUNE = (
    _COMMON
    + """
-- kind, first and last position, before when, how many to look at -> {deleted, looked at, last}
local found = redis.call('XRANGE', base .. 'order:' .. ARGV[3], ARGV[4] .. '-0', ARGV[5] .. '-0',
  'COUNT', ARGV[7])
local deleted, last = 0, '0'
for _, entry in ipairs(found) do
  last = string.match(entry[1], '^[0-9]+')
  local kind, key, user, at = unpacked(redis.call('HGET', base .. 'entries', last))
  if at < tonumber(ARGV[6]) then
    delete(last, kind, key, user)
    deleted = deleted + 1
  end
end
return {deleted, #found, last}
"""
)
