-- Strings, tables, closures and floating point, as scripts use them.
local n = tonumber(... or 1)
local sum = 0
for round = 1, n do
  local words = {}
  for w in (("the quick brown fox jumps over the lazy dog "):rep(20)):gmatch("%a+") do
    words[w] = (words[w] or 0) + #w
  end
  local keys = {}
  for k in pairs(words) do keys[#keys + 1] = k end
  table.sort(keys)
  local function map(t, f) local r = {} for i, v in ipairs(t) do r[i] = f(v) end return r end
  local text = table.concat(map(keys, function(k) return k .. "=" .. words[k] end), ",")
  sum = (sum + #text * round + #text:upper():gsub("[AEIOU]", "*")) % 1000003
  local x = 0.5
  for i = 1, 500 do x = 3.7 * x * (1 - x) end
  sum = sum + math.floor(x * 1000)
end
print(sum)
