-- Removes a series that is as it was read, or that was missing and still is, with
-- all that speaks of it. Answers 0, or -1 if it has changed.
-- KEYS: series, set of metrics, hash of trims. ARGV: member, the whole series.
local held = redis.call('GET', KEYS[1])
if held and (held ~= ARGV[2] or held == '') then
    return -1
end
redis.call('SREM', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[1])
-- Whatever else stands there is no reason to fail half-way.
redis.pcall('HDEL', KEYS[3], ARGV[1])
return 0
