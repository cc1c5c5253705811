-- Puts other bytes in the place of those that were read, if they still stand there
-- and the series has not become shorter; what was appended since stays behind them.
-- Answers of each series the new length, -1 if it has changed, -2 if it is none. Many
-- go in one call, since each call costs some microseconds of its own.
-- KEYS: series. ARGV: of each where, the bytes that were read, the bytes for their
-- place, how long the series was.
local function replace(key, at, read, new, least)
    local behind = at + #read
    local there = redis.pcall('GETRANGE', key, at, behind - 1)
    if type(there) == 'table' then
        return -2
    end
    if there ~= read then
        return -1
    end
    if #read == #new then
        if redis.call('STRLEN', key) < least then
            return -1
        end
        return redis.call('SETRANGE', key, at, new)
    end
    local whole = redis.call('GETRANGE', key, behind, -1)
    if behind + #whole < least then
        return -1
    end
    -- To put nothing in front of it would copy it twice.
    if at > 0 or new ~= '' then
        local front = ''
        if at > 0 then
            front = redis.call('GETRANGE', key, 0, at - 1)
        end
        whole = front .. new .. whole
    end
    redis.call('SET', key, whole, 'KEEPTTL')
    return #whole
end
local answers = {}
for number, key in ipairs(KEYS) do
    local from = 4 * number
    answers[number] = replace(key, tonumber(ARGV[from - 3]), ARGV[from - 2],
        ARGV[from - 1], tonumber(ARGV[from]))
end
return answers
