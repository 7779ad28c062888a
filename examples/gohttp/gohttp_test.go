package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/hako-run/hako/app"
	"github.com/hako-run/hako/internal/guestbuild"
)

func TestServe(t *testing.T) {
	ctx := context.Background()
	source, err := os.ReadFile(guestbuild.Go(t, "."))
	if err != nil {
		t.Fatal(err)
	}
	r, err := app.NewRunner(guestbuild.Compiled(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	m, err := r.Engine().Compile(ctx, "gohttp", source)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	p, err := r.Start(ctx, m, app.Spec{
		Args:  []string{"gohttp"},
		Ports: []app.PortGrant{{Host: netip.MustParseAddrPort("127.0.0.1:0"), Guest: 80, Network: "tcp"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	done := make(chan error)
	go func() {
		_, err := p.Run(ctx, app.Streams{Stderr: os.Stderr})
		done <- err
	}()
	url := "http://" + p.Ports()[0].Host.String()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for j := range 20 {
				path := fmt.Sprintf("/%d/%d", i, j)
				if body, err := fetch(client.Get(url + path)); err != nil || body != "Hello from wasip1/wasm, "+path+"\n" {
					t.Errorf("%s: %q, %v", path, body, err)
					return
				}
			}
			numbers := strings.Repeat("7 ", 50_000)
			if body, err := fetch(client.Post(url+"/sum", "text/plain", strings.NewReader(numbers))); err != nil || body != "350000\n" {
				t.Errorf("sum: %q, %v", body, err)
			}
		}()
	}
	wg.Wait()
	p.Stop()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("the guest ended with %v", err)
	}
}

func fetch(resp *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(resp.Body)
	return string(b), errors.Join(err, resp.Body.Close())
}
