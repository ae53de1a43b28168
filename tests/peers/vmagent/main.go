//go:build tools

// Package tools pins the vmagent that benchmarks compare with.
package tools

import _ "github.com/VictoriaMetrics/VictoriaMetrics/app/vmagent"
