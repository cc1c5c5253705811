-- Sets a copy of a series aside for a time and leaves what of it could be read, with
-- what was appended since. Answers the new length, or -1 if it has changed.
-- KEYS: series, place aside, set of metrics, hash of trims.
-- ARGV: member, the whole series, what could be read, seconds.
local read = ARGV[2]
if redis.call('GETRANGE', KEYS[1], 0, #read - 1) ~= read then
    return -1
end
local whole = ARGV[3] .. redis.call('GETRANGE', KEYS[1], #read, -1)
redis.call('SET', KEYS[2], read, 'EX', ARGV[4])
if whole == '' then
    redis.call('SREM', KEYS[3], ARGV[1])
    redis.call('DEL', KEYS[1])
    redis.pcall('HDEL', KEYS[4], ARGV[1])
    return 0
end
redis.call('SET', KEYS[1], whole, 'KEEPTTL')
return #whole
