-- Puts other bytes in the place of those that were read, if they still stand there
-- and the series has not become shorter; what was appended since stays behind them.
-- Answers the new length, or -1.
-- KEYS: series. ARGV: where, the bytes that were read, the bytes for their place, how
-- long the series was.
local at, read, new = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local behind, least = at + #read, tonumber(ARGV[4])
if redis.call('GETRANGE', KEYS[1], at, behind - 1) ~= read then
    return -1
end
if #read == #new then
    if redis.call('STRLEN', KEYS[1]) < least then
        return -1
    end
    return redis.call('SETRANGE', KEYS[1], at, new)
end
local whole = redis.call('GETRANGE', KEYS[1], behind, -1)
if behind + #whole < least then
    return -1
end
-- To put nothing in front of it would copy it twice.
if at > 0 or new ~= '' then
    local front = ''
    if at > 0 then
        front = redis.call('GETRANGE', KEYS[1], 0, at - 1)
    end
    whole = front .. new .. whole
end
redis.call('SET', KEYS[1], whole, 'KEEPTTL')
return #whole
