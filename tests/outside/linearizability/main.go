// linearizability reads a history of operations on registers (JSON lines, see history.go) and says whether one order of
// them explains all that the clients saw, each taking effect between its call and its return.
//
// It ends with 0 where there is one, 1 where there is none, 2 for a history that can't be read, and 3 where the time was
// too short to tell. Where there is none it names, for the register with the fewest operations, the shortest beginning
// of its history that has none, and draws that (-html).
package main

import (
	"flag"
	"fmt"
	"os"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

var register = porcupine.Model{
	Init: func() interface{} { return absent },
	Step: func(state, input, _ interface{}) (bool, interface{}) {
		value, one := state.(string), input.(entry)
		holds := value == one.Expected
		switch one.Op {
		case write:
			return true, one.Value
		case read:
			return value == one.Value, value
		}
		if one.Outcome == ok && !holds || one.Outcome == failed && holds {
			return false, value
		}
		if one.Op == cas && holds {
			return true, one.Value
		}
		return true, value
	},
	DescribeOperation: func(input, _ interface{}) string { return input.(entry).describe() },
	DescribeState:     func(state interface{}) string { return named(state.(string)) },
}

func named(value string) string {
	if value == absent {
		return "nothing"
	}
	return value
}

func (e entry) describe() string {
	suffix := ""
	if e.Outcome != ok {
		suffix = ": " + e.Outcome
	}
	switch e.Op {
	case write:
		return fmt.Sprintf("write %s%s", e.Value, suffix)
	case read:
		return fmt.Sprintf("read %s", named(e.Value))
	case cas:
		return fmt.Sprintf("cas %s to %s%s", named(e.Expected), e.Value, suffix)
	}
	return fmt.Sprintf("check %s%s", named(e.Expected), suffix)
}

// end leaves the program with what it found.
func end(code int, format string, values ...interface{}) {
	fmt.Printf(format+"\n", values...)
	os.Exit(code)
}

func main() {
	html := flag.String("html", "", "where to draw what can't be explained")
	limit := flag.Duration("timeout", time.Minute, "how long one register may take")
	flag.Parse()
	file, err := os.Open(flag.Arg(0))
	if err != nil {
		end(2, "the history can't be read: %v", err)
	}
	registers, err := readHistory(file)
	if err != nil {
		end(2, "the history can't be read: %v", err)
	}
	var refused, undecided []string
	count := 0
	for name, history := range registers {
		count += len(history)
		switch checkUntil(history, lastOf(history), *limit) {
		case porcupine.Illegal:
			refused = append(refused, name)
		case porcupine.Unknown:
			undecided = append(undecided, name)
		}
	}
	sort.Slice(refused, func(i, j int) bool { return len(registers[refused[i]]) < len(registers[refused[j]]) })
	switch {
	case len(refused) > 0:
		explain(refused[0], registers[refused[0]], *html, *limit)
		end(1, "not linearizable: %d of %d registers", len(refused), len(registers))
	case len(undecided) > 0:
		end(3, "undecided: %d of %d registers took longer than %v", len(undecided), len(registers), *limit)
	case count == 0:
		end(2, "the history has no operation that tells anything")
	}
	end(0, "linearizable: %d operations on %d registers", count, len(registers))
}

func lastOf(history []entry) int64 {
	times := returns(history)
	if len(times) == 0 {
		return 0
	}
	return times[len(times)-1]
}

func checkUntil(history []entry, until int64, limit time.Duration) porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(register, operations(history, until), limit)
}

// explain shows the shortest beginning of a register's history that no order explains. A beginning of one that has an
// order has one, too, so that the shortest is found by halving.
func explain(name string, history []entry, html string, limit time.Duration) {
	times := returns(history)
	first := sort.Search(len(times), func(i int) bool {
		return checkUntil(history, times[i], limit) == porcupine.Illegal
	})
	if first == len(times) {
		first--
	}
	known := operations(history, times[first])
	fmt.Printf("%s: no order explains these %d operations, with the last to return none:\n", name, len(known))
	sort.Slice(known, func(i, j int) bool { return known[i].Call < known[j].Call })
	for _, one := range known {
		fmt.Printf("  %d-%d client %d: %s\n", one.Call, one.Return, one.ClientId, one.Input.(entry).describe())
	}
	if html == "" {
		return
	}
	_, info := porcupine.CheckOperationsVerbose(register, known, limit)
	if err := porcupine.VisualizePath(register, info, html); err != nil {
		fmt.Printf("it can't be drawn: %v\n", err)
		return
	}
	fmt.Printf("drawn in %s\n", html)
}
