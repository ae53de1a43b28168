// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0

// Command textparse says what Prometheus' own parser makes of pages. It reads JSON lines
// {"dialect": "prometheus" | "openmetrics", "page": base64} and answers each with one line
// {"error": text or null, "samples": [...]}; samples are those before the error.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"log"
	"math"
	"os"
	"strconv"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

type question struct {
	Dialect string `json:"dialect"`
	Page    []byte `json:"page"`
}

type sample struct {
	Labels    [][2]string `json:"labels"` // sorted by name; __name__ is one of them
	Bits      string      `json:"bits"`   // of the float64, hexadecimal
	Timestamp *int64      `json:"timestamp"`
	Exemplar  *sample     `json:"exemplar,omitempty"`
}

type answer struct {
	Error   *string  `json:"error"`
	Samples []sample `json:"samples"`
}

func pairs(of labels.Labels) [][2]string {
	made := [][2]string{}
	of.Range(func(l labels.Label) { made = append(made, [2]string{l.Name, l.Value}) })
	return made
}

func bits(value float64) string { return strconv.FormatUint(math.Float64bits(value), 16) }

func read(q question) answer {
	made := answer{Samples: []sample{}}
	symbols := labels.NewSymbolTable()
	var parser textparse.Parser
	if q.Dialect == "openmetrics" {
		parser = textparse.NewOpenMetricsParser(q.Page, symbols)
	} else {
		parser = textparse.NewPromParser(q.Page, symbols, false)
	}
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return made
		}
		if err != nil {
			text := err.Error()
			made.Error = &text
			return made
		}
		if entry != textparse.EntrySeries {
			continue
		}
		_, at, value := parser.Series()
		var set labels.Labels
		parser.Labels(&set)
		found := sample{Labels: pairs(set), Bits: bits(value)}
		if at != nil {
			copied := *at
			found.Timestamp = &copied
		}
		var ex exemplar.Exemplar
		if parser.Exemplar(&ex) {
			found.Exemplar = &sample{Labels: pairs(ex.Labels), Bits: bits(ex.Value)}
			if ex.HasTs {
				at := ex.Ts
				found.Exemplar.Timestamp = &at
			}
		}
		made.Samples = append(made.Samples, found)
	}
}

func main() {
	in := json.NewDecoder(bufio.NewReaderSize(os.Stdin, 1<<20))
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	write := json.NewEncoder(out)
	for {
		var q question
		if err := in.Decode(&q); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		if err := write.Encode(read(q)); err != nil {
			log.Fatal(err)
		}
	}
}
