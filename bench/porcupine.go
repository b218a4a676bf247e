// Judges histories with Porcupine, for bench/checkers.py: one JSON file in, milliseconds out.
//
// As ours is, it is timed in a process that is warm: the best of some runs with the garbage of the
// one before collected, all its keys side by side. Operations are passed by pointer, so that a step
// of the model copies none.
package main

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"runtime"
	"time"

	"github.com/anishathalye/porcupine"
)

// An operation as bench/porcupine.py writes it.
type op struct {
	Client   int    `json:"c"`
	Key      string `json:"k"`
	F        string `json:"f"`
	A        int    `json:"a"` // write: value; cas: expected
	B        int    `json:"b"` // cas: new
	Out      int    `json:"o"` // read: value, -1: none; cas: 1 if it matched
	Text     string `json:"t"` // put, append: argument; get: answer
	Sent     int64  `json:"s"`
	Returned int64  `json:"r"` // -1: never
}

func partition(history []porcupine.Operation) [][]porcupine.Operation {
	index := map[string]int{}
	var parts [][]porcupine.Operation
	for _, o := range history {
		key := o.Input.(*op).Key
		i, known := index[key]
		if !known {
			i = len(parts)
			index[key] = i
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], o)
	}
	return parts
}

var register = porcupine.Model{
	Partition: partition,
	Init:      func() interface{} { return -1 },
	Step: func(state, input, output interface{}) (bool, interface{}) {
		s, o := state.(int), input.(*op)
		switch o.F {
		case "read":
			return o.Out == s, s
		case "write":
			return true, o.A
		}
		if o.Returned < 0 {
			if s == o.A {
				return true, o.B
			}
			return true, s
		}
		if o.Out == 1 {
			return s == o.A, o.B
		}
		return s != o.A, s
	},
	Hash: func(state interface{}) uint64 { return uint64(state.(int)) },
}

var text = porcupine.Model{
	Partition: partition,
	Init:      func() interface{} { return "" },
	Step: func(state, input, output interface{}) (bool, interface{}) {
		s, o := state.(string), input.(*op)
		switch o.F {
		case "get":
			return o.Text == s, s
		case "put":
			return true, o.Text
		}
		return true, s + o.Text
	},
	// Without it Porcupine compares each state with all that met the same operations
	Hash: func(state interface{}) uint64 {
		h := fnv.New64a()
		h.Write([]byte(state.(string)))
		return h.Sum64()
	},
}

func main() {
	content, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	var input struct {
		Model     string  `json:"model"`
		Seconds   int     `json:"seconds"`
		Repeat    float64 `json:"repeat"` // seconds of running all histories again
		Histories [][]op  `json:"histories"`
	}
	if err := json.Unmarshal(content, &input); err != nil {
		panic(err)
	}
	model := register
	if input.Model == "text" {
		model = text
	}
	histories := make([][]porcupine.Operation, len(input.Histories))
	for i, history := range input.Histories {
		for j := range history {
			o := &history[j]
			end := o.Returned
			if end < 0 {
				end = math.MaxInt64
			}
			histories[i] = append(histories[i], porcupine.Operation{
				ClientId: o.Client, Input: o, Call: o.Sent, Output: o, Return: end,
			})
		}
	}
	limit := time.Duration(input.Seconds) * time.Second
	answers := make([]porcupine.CheckResult, len(histories))
	best := time.Duration(math.MaxInt64)
	for began := time.Now(); ; {
		runtime.GC()
		start := time.Now()
		for i, history := range histories {
			answers[i] = porcupine.CheckOperationsTimeout(model, history, limit)
		}
		if took := time.Since(start); took < best {
			best = took
		}
		if time.Since(began).Seconds() >= input.Repeat {
			break
		}
	}
	result, err := json.Marshal(map[string]interface{}{
		"ms": float64(best.Nanoseconds()) / 1e6, "answers": answers,
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(string(result))
}
