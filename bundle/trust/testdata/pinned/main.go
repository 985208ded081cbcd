// Command pinned prints the keys that were written into it.
package main

import (
	"fmt"
	"os"

	"kubebundle/bundle/trust"
)

func main() {
	keys, err := trust.Pinned()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(4)
	}
	for _, k := range keys.Strings() {
		fmt.Fprintln(os.Stdout, k)
	}
}
