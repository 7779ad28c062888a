module github.com/hako-run/hako/guest/filter

go 1.24
