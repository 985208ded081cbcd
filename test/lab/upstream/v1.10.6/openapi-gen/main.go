// openapi-gen runs the OpenAPI generator of Kubernetes v1.10: what it writes is the one generated file that the module lacks.
package main

import (
	"flag"

	"github.com/golang/glog"
	"k8s.io/gengo/args"
	"k8s.io/kube-openapi/pkg/generators"
)

func main() {
	a := args.Default()
	flag.Set("logtostderr", "true")
	if err := a.Execute(generators.NameSystems(), generators.DefaultNameSystem(), generators.Packages); err != nil {
		glog.Fatal(err)
	}
}
