package cli

import (
	"fmt"
	"strings"
	"time"

	hakoapp "github.com/hako-run/hako/app"
	"github.com/spf13/cobra"
)

func (a *app) psCommand() *cobra.Command {
	var quiet bool
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "List what runs",
		Long: `List what runs on the data directory, and on that of the hako.toml in this folder.
Of a server it shows the apps and databases of the configuration in force.`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			var infos []hakoapp.Info
			for _, r := range a.registries() {
				list, err := r.List()
				if err != nil {
					return err
				}
				infos = append(infos, list...)
			}
			if a.json {
				if infos == nil {
					infos = []hakoapp.Info{}
				}
				return a.printJSON(infos)
			}
			if quiet {
				for _, info := range infos {
					fmt.Fprintln(a.Out, info.ID)
				}
				return nil
			}
			t := newTable(a.Out, []int{4, 5}, "ID", "NAME", "IMAGE", "UP", "CPU", "MEMORY", "PORTS", "APPS", "DATABASES")
			for _, info := range infos {
				ports := info.Addresses
				for _, p := range info.Ports {
					ports = append(ports, p.String())
				}
				t.row(info.ID, info.Name, info.Image, time.Since(info.Started).Truncate(time.Second).String(),
					info.Usage.CPU.Truncate(time.Millisecond).String(), sizeText(info.Usage.Memory),
					strings.Join(ports, " "), strings.Join(info.Apps, " "), strings.Join(info.Databases, " "))
			}
			return t.flush()
		},
		ValidArgsFunction: a.complete(completeNone),
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print only IDs")
	a.jsonFlag(cmd)
	return cmd
}
