package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sort"

	"github.com/anishathalye/porcupine"
)

// The kinds of operation on a register, whose first value is none ("absent").
const (
	write = "write" // sets Value
	read  = "read"  // saw Value
	cas   = "cas"   // sets Value where the register holds Expected
	check = "check" // whether the register holds Expected
)

// What a client knows of an operation's end.
const (
	ok      = "ok"      // it took effect; a check: the register held Expected
	failed  = "failed"  // cas, check: the register did not hold Expected
	never   = "never"   // it was refused and has no effect
	unknown = "unknown" // no answer: it may take effect at any time from its call on
)

const absent = ""

// entry is one line of a history. Times are in ns of one clock.
type entry struct {
	Client   int    `json:"client"`
	Op       string `json:"op"`
	Key      string `json:"key"`
	Value    string `json:"value"`
	Expected string `json:"expected"`
	Call     int64  `json:"call_ns"`
	Return   int64  `json:"return_ns"`
	Outcome  string `json:"outcome"`
}

// readHistory gives each register's operations, those that tell something, with its name.
func readHistory(from io.Reader) (map[string][]entry, error) {
	registers := map[string][]entry{}
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for number := 1; lines.Scan(); number++ {
		var one entry
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return nil, fmt.Errorf("line %d: %v", number, err)
		}
		if err := one.fault(); err != nil {
			return nil, fmt.Errorf("line %d: %v", number, err)
		}
		_, known := registers[one.Key]
		if one.tells() {
			registers[one.Key] = append(registers[one.Key], one)
		} else if !known {
			registers[one.Key] = nil
		}
	}
	return registers, lines.Err()
}

func (e entry) fault() error {
	conditional := e.Op == cas || e.Op == check
	switch {
	case e.Op != write && e.Op != read && !conditional:
		return fmt.Errorf("there is no operation %q", e.Op)
	case e.Outcome != ok && e.Outcome != never && e.Outcome != unknown && (e.Outcome != failed || !conditional):
		return fmt.Errorf("a %s has no outcome %q", e.Op, e.Outcome)
	case (e.Op == write || e.Op == cas) && e.Value == absent:
		return fmt.Errorf("a %s needs a value", e.Op)
	case e.Return < e.Call:
		return fmt.Errorf("it returned before it was called")
	}
	return nil
}

// tells whether the operation restricts what others may have seen, or was restricted itself.
func (e entry) tells() bool {
	return e.Outcome == ok || e.Outcome == failed || (e.Outcome == unknown && (e.Op == write || e.Op == cas))
}

// operations is the history as it was known at a time: what was not called by then is not in it, and what had not
// returned by then has no outcome yet. Without outcome, an operation goes on until after all others.
func operations(history []entry, until int64) []porcupine.Operation {
	var found []porcupine.Operation
	last := until + 1
	for _, one := range history {
		if one.Call > until {
			continue
		}
		if one.Return > until {
			one.Outcome = unknown
		}
		if !one.tells() {
			continue
		}
		end := one.Return
		if one.Outcome == unknown {
			end = last
		}
		found = append(found, porcupine.Operation{ClientId: one.Client, Input: one, Call: one.Call, Return: end})
	}
	return found
}

// returns gives the times at which something came to be known, in order.
func returns(history []entry) []int64 {
	times := make([]int64, 0, len(history))
	for _, one := range history {
		times = append(times, one.Return)
	}
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	return times
}
