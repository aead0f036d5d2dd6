// Command pause keeps the namespaces of a pod, as Kubernetes' image of that name does, which a test cannot pull. No
// container of these pods shares its PID namespace, so there is nobody to reap.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	<-ended
}
