// Command queuectl needs file locks, links and process groups as Unix has
// them. On Windows it runs inside WSL.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "queuectl: does not run on Windows itself; use WSL (https://learn.microsoft.com/windows/wsl), with the spool on WSL's own file system")
	os.Exit(1)
}
