# Reads a file, uses gems of the standard library, writes another.
require "json"
require "digest"
require "set"
require "csv" rescue nil
require "erb"
require "time"
require "stringio"
require "optparse"

options = {}
OptionParser.new { |o| o.on("-nNAME") { |v| options[:name] = v } }.parse!(ARGV)

rows = File.readlines("/data/input.txt", chomp: true).map { |l| l.split("\t") }
words = rows.flatten.flat_map { |c| c.scan(/\w+/) }.to_set
File.write("/data/output.json", JSON.pretty_generate("rows" => rows, "words" => words.sort))
puts ERB.new("Hello <%= options[:name] %>: <%= rows.size %> rows", trim_mode: "-").result(binding)
puts Digest::SHA256.hexdigest(rows.inspect)
puts Time.utc(2026, 11, 22).iso8601
fib = Enumerator.new { |y| a, b = 0, 1; loop { y << a; a, b = b, a + b } }
puts fib.lazy.select(&:even?).first(8).inspect
begin
  File.read("/etc/passwd")
rescue SystemCallError => e
  puts e.class
end
begin
  raise ArgumentError, "caught"
rescue => e
  puts e.message
end
puts [1, 2, 3].sum { |x| x ** 100 }
warn "to stderr"
exit 3
