package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hako-run/hako/image"
	"github.com/spf13/cobra"
)

type builtJSON struct {
	Name     string   `json:"name,omitempty"`
	Digest   string   `json:"digest"`
	Size     int64    `json:"size"`
	Layers   int      `json:"layers"`
	Warnings []string `json:"warnings,omitempty"`
	Output   string   `json:"output,omitempty"`
}

func (a *app) buildCommand() *cobra.Command {
	var o image.BuildOptions
	var args []string
	var output string
	var insecure bool
	cmd := &cobra.Command{
		Use:   "build [DIR]",
		Short: "Build an image from a Hakofile.toml or a Dockerfile",
		Long: `Build an image from the files below DIR, by its Hakofile.toml, else by its
Dockerfile. Of a Dockerfile's instructions FROM (scratch, an image of Hako or an
earlier stage), COPY, ADD, ENTRYPOINT, CMD, ENV, WORKDIR, EXPOSE, ARG and LABEL
are known. The same input gives the same image, on every machine; the time of
its files is $SOURCE_DATE_EPOCH, else 1970.`,
		Args: arguments(0, 1),
		RunE: a.withImages(func(ctx context.Context, s *image.Store, words []string) (err error) {
			o.Dir = "."
			if len(words) > 0 {
				o.Dir = words[0]
			}
			if o.Args, err = buildArgs(args); err != nil {
				return err
			}
			if o.Epoch, err = sourceDateEpoch(os.Getenv("SOURCE_DATE_EPOCH")); err != nil {
				return err
			}
			if err := checkOutput(output); err != nil {
				return err
			}
			return a.build(ctx, s, o, output, insecure)
		}),
		ValidArgsFunction: a.complete(nil),
	}
	f := cmd.Flags()
	f.StringVarP(&o.Name, "tag", "t", "", "name of the image, as shop:1")
	f.StringVarP(&o.File, "file", "f", "", "build file (default DIR/Hakofile.toml, else DIR/Dockerfile)")
	f.StringArrayVar(&args, "build-arg", nil, "NAME=VALUE of an ARG; NAME alone takes the environment's value")
	f.StringVar(&o.Target, "target", "", "stage of the Dockerfile to build (default the last)")
	f.StringVar(&o.Platform, "platform", "", "what the image says it is for: wasi/wasm (default) or wasip1/wasm")
	f.StringVarP(&output, "output", "o", "", "write the image to oci:DIR or FILE.tar as well")
	f.BoolVar(&o.Artifact, "artifact", false, "make a CNCF Wasm artifact: the module and nothing else")
	insecureFlag(cmd, &insecure)
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) build(ctx context.Context, s *image.Store, o image.BuildOptions, output string, insecure bool) error {
	p := a.progress("build", "", true)
	o.Step = func(text string) { p.begins(text) }
	o.Pull = func(ctx context.Context, ref string) error {
		_, err := s.Pull(ctx, ref, image.PullOptions{RegistryOptions: image.RegistryOptions{Insecure: insecure}, Progress: p.update})
		return err
	}
	b, err := s.Build(ctx, o)
	p.end()
	if err != nil {
		return err
	}
	for _, w := range b.Warnings {
		fmt.Fprintf(a.Err, "hako: warning: %s\n", w)
	}
	ref := b.Name
	if ref == "" {
		ref = b.Digest
	}
	if output != "" {
		if err := writeOutput(ctx, s, ref, output); err != nil {
			return fmt.Errorf("write %s: %w", output, err)
		}
	}
	v := builtJSON{b.Name, b.Digest, b.Size, b.Layers, b.Warnings, output}
	if b.Name == "" {
		return a.done(v, "built %s (%s, %s)", b.Digest, countText(int64(b.Layers), "layer"), sizeText(b.Size))
	}
	return a.done(v, "built %s: %s (%s, %s)", b.Name, b.Digest, countText(int64(b.Layers), "layer"), sizeText(b.Size))
}

func buildArgs(words []string) (map[string]string, error) {
	args := map[string]string{}
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		if !ok {
			if value, ok = os.LookupEnv(name); !ok {
				return nil, usageErrorf("--build-arg %s: the environment has no %s: write %s=VALUE", word, name, name)
			}
		}
		if name == "" {
			return nil, usageErrorf("--build-arg %s: write NAME=VALUE", word)
		}
		args[name] = value
	}
	return args, nil
}

// sourceDateEpoch reads the time that reproducible builds agree upon.
func sourceDateEpoch(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > 1<<33 {
		return time.Time{}, usageErrorf("SOURCE_DATE_EPOCH is %q; it is to be seconds since 1970", text)
	}
	return time.Unix(n, 0), nil
}

// checkOutput tells mistakes in --output before the build.
func checkOutput(output string) error {
	dir, isDir := strings.CutPrefix(output, "oci:")
	switch {
	case output == "", strings.HasSuffix(output, ".tar"):
		return nil
	case !isDir || dir == "":
		return usageErrorf("--output %s: write oci:DIR or FILE.tar", output)
	}
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return usageErrorf("--output %s: the folder is not empty", output)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return usageErrorf("--output %s: %w", output, err)
	}
	return nil
}

func writeOutput(ctx context.Context, s *image.Store, ref, output string) error {
	if dir, ok := strings.CutPrefix(output, "oci:"); ok {
		return s.SaveLayout(ctx, []string{ref}, dir)
	}
	return s.SaveFile(ctx, []string{ref}, output, nil)
}
