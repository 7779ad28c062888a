//go:build !unix

package cli

func terminalWidth(any) int { return 80 }
