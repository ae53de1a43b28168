//go:build tools

// Package tools pins the Prometheus server that the tests compare with.
package tools

import _ "github.com/prometheus/prometheus/cmd/prometheus"
