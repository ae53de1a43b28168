// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0

// The parsers of Prometheus and VictoriaMetrics behind C functions, so that one program times them
// and ours over the same bytes in the same process.
package main

/*
#include <stdint.h>
#include <stdlib.h>

typedef struct {
  uint64_t samples, labels;
  double finite_sum;
  int64_t timestamp_sum;
} go_answer;
*/
import "C"

import (
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"runtime/debug"
	"unsafe"

	victoriametrics "github.com/VictoriaMetrics/VictoriaMetrics/lib/protoparser/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

const (
	victoriaMetrics = iota
	prometheusSeries
	prometheusLabels
)

// Kept from page to page, as their scrapers keep them.
var (
	rows    victoriametrics.Rows
	symbols = labels.NewSymbolTable()
)

func add(a *C.go_answer, value float64, timestamp int64) {
	a.samples++
	a.timestamp_sum += C.int64_t(timestamp)
	if !math.IsNaN(value) && !math.IsInf(value, 0) {
		a.finite_sum += C.double(value)
	}
}

func parseVictoriaMetrics(page string) error {
	refused := 0
	rows.UnmarshalWithErrLogger(page, func(string) { refused++ })
	if refused != 0 {
		return fmt.Errorf("%d lines refused", refused)
	}
	return nil
}

func parsePrometheus(page string, each func(textparse.Parser, *C.go_answer), answer *C.go_answer) error {
	parser := textparse.NewPromParser(unsafe.Slice(unsafe.StringData(page), len(page)), symbols, false)
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry != textparse.EntrySeries {
			continue
		}
		_, timestamp, value := parser.Series()
		at := int64(0)
		if timestamp != nil {
			at = *timestamp
		}
		add(answer, value, at)
		if each != nil {
			each(parser, answer)
		}
	}
}

// Reads the page as it is timed: rows are left where VictoriaMetrics puts them, series go into the answer.
func parse(kind C.int, page string, answer *C.go_answer) error {
	switch kind {
	case victoriaMetrics:
		return parseVictoriaMetrics(page)
	case prometheusSeries:
		return parsePrometheus(page, nil, answer)
	default:
		var set labels.Labels
		return parsePrometheus(page, func(parser textparse.Parser, _ *C.go_answer) { parser.Labels(&set) }, answer)
	}
}

// Reads the page and counts all that the parser gave.
func count(kind C.int, page string, answer *C.go_answer) error {
	switch kind {
	case victoriaMetrics:
		err := parseVictoriaMetrics(page)
		for i := range rows.Rows {
			add(answer, rows.Rows[i].Value, rows.Rows[i].Timestamp)
			answer.labels += C.uint64_t(len(rows.Rows[i].Tags))
		}
		return err
	case prometheusSeries:
		return parsePrometheus(page, nil, answer)
	default:
		return parsePrometheus(page, func(parser textparse.Parser, to *C.go_answer) {
			var set labels.Labels
			parser.Labels(&set)
			to.labels += C.uint64_t(set.Len() - 1) // without the name
		}, answer)
	}
}

func text(bytes *C.char, size C.size_t) string {
	return unsafe.String((*byte)(unsafe.Pointer(bytes)), int(size))
}

func message(err error) *C.char {
	if err == nil {
		return nil
	}
	return C.CString(err.Error())
}

//export go_parse
func go_parse(kind C.int, bytes *C.char, size C.size_t, answer *C.go_answer) C.int {
	if parse(kind, text(bytes, size), answer) != nil {
		return 1
	}
	return 0
}

// The caller frees what it gives: nil, or why the page was refused.
//
//export go_count
func go_count(kind C.int, bytes *C.char, size C.size_t, answer *C.go_answer) *C.char {
	return message(count(kind, text(bytes, size), answer))
}

//export go_allocations
func go_allocations(kind C.int, bytes *C.char, size C.size_t) C.uint64_t {
	var before, after runtime.MemStats
	var answer C.go_answer
	runtime.ReadMemStats(&before)
	_ = parse(kind, text(bytes, size), &answer)
	runtime.ReadMemStats(&after)
	return C.uint64_t(after.Mallocs - before.Mallocs)
}

// So that nobody after this pays for what Go left behind.
//
//export go_collect
func go_collect() {
	runtime.GC()
}

// The caller frees it.
//
//export go_versions
func go_versions() *C.char {
	said := runtime.Version()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			switch module.Path {
			case "github.com/prometheus/prometheus", "github.com/VictoriaMetrics/VictoriaMetrics":
				said += ", " + module.Path[len("github.com/"):] + " " + module.Version
			}
		}
	}
	return C.CString(said)
}

func main() {}
