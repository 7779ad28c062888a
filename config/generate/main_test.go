package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// TestCurrent checks that the files in docs are what the types say.
func TestCurrent(t *testing.T) {
	files, err := render("..")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("../../docs", name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("docs/%s is not what the types of package config say (%v): run go generate ./config", name, err)
		}
	}
	var schema map[string]any
	if err := json.Unmarshal(files["hako.schema.json"], &schema); err != nil || schema["properties"] == nil {
		t.Errorf("the schema: %v", err)
	}
}
