package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kubebundle/installer"
)

// status is what `status` says about a node.
type status struct {
	Node     string `json:"node"`
	Workflow string `json:"workflow,omitempty"` // init, join; empty: never installed by this program
	Version  string `json:"version,omitempty"`
	Complete bool   `json:"complete"`        // the last run came to its end
	Kubelet  string `json:"kubelet"`         // running, dead, …
	API      string `json:"api,omitempty"`   // ok, or why not
	Hint     string `json:"hint,omitempty"`  // what helps then, if that is known
	Ready    string `json:"ready,omitempty"` // the node: yes, no and why, unknown and why
}

func (a *app) statusCmd() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Say what this host is: installed, half-way, healthy", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.nodeStatus(cmd.Context())
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.printJSON(s)
			}
			installed := "no"
			switch {
			case s.Workflow != "" && s.Complete:
				installed = fmt.Sprintf("%s, Kubernetes %s", s.Workflow, s.Version)
			case s.Workflow != "":
				installed = fmt.Sprintf("half-way (%s, Kubernetes %s); run the same command again to go on", s.Workflow, s.Version)
			}
			rows := [][]string{{"node:", s.Node}, {"installed:", installed}, {"kubelet:", s.Kubelet}}
			if s.API != "" {
				rows = append(rows, []string{"API:", s.API})
			}
			if s.Hint != "" {
				rows = append(rows, []string{"hint:", s.Hint})
			}
			if s.Ready != "" {
				rows = append(rows, []string{"ready:", s.Ready})
			}
			return a.printTable(rows)
		},
	}
}

func (a *app) nodeStatus(ctx context.Context) (status, error) {
	f, err := a.host.Facts(ctx)
	if err != nil {
		return status{}, err
	}
	s := status{Node: strings.ToLower(f.Hostname)} // as the node is named unless --node-name says otherwise
	j, err := installer.OpenJournal(a.host)
	if err != nil {
		return s, err
	}
	s.Workflow, s.Version, s.Complete = j.Workflow()
	u, err := a.host.UnitState(ctx, "kubelet.service")
	if err != nil {
		return s, err
	}
	if s.Kubelet = u.Sub; !u.Exists {
		s.Kubelet = "not installed"
	}
	c, err := nodeClient(a.host)
	if errors.Is(err, errNoKubeconfig) {
		return s, nil
	}
	if err != nil {
		s.API = err.Error()
		return s, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := c.Healthy(ctx); err != nil {
		s.API, s.Hint = err.Error(), installer.Hint(err)
		return s, nil
	}
	s.API = "ok"
	ready, reason, err := c.NodeReady(ctx, s.Node)
	switch {
	case err != nil:
		s.Ready = "unknown: " + err.Error()
	case ready:
		s.Ready = "yes"
	default:
		s.Ready = "no: " + reason
	}
	return s, nil
}
