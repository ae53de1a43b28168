//go:build tools

// Package tools pins the Prometheus server that the tests compare with, and its tool.
package tools

import (
	_ "github.com/prometheus/prometheus/cmd/prometheus"
	_ "github.com/prometheus/prometheus/cmd/promtool"
)
