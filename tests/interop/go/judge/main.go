// Judge answers questions about notes, proofs and tiles with the libraries of
// golang.org/x/mod/sumdb and transparency-dev. It knows nothing of provlog.
//
// Without arguments it reads one question a line from standard input, as JSON, and
// answers each with a line. `judge read` follows a log over HTTP; see read.go.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// A question; which members count depends on Op.
type question struct {
	Op        string   `json:"op"`
	Note      []byte   `json:"note"`
	Text      string   `json:"text"`
	Keys      []string `json:"keys"`
	Origin    string   `json:"origin"`
	Index     uint64   `json:"index"`
	Start     uint64   `json:"start"`
	Old       uint64   `json:"old"`
	Size      uint64   `json:"size"`
	Leaf      []byte   `json:"leaf"`
	Root      []byte   `json:"root"`
	OldRoot   []byte   `json:"old_root"`
	Hashes    [][]byte `json:"hashes"`
	Extra     []byte   `json:"extra"`
	Data      []byte   `json:"data"`
	Level     string   `json:"level"`
	Path      string   `json:"path"`
	Timestamp uint64   `json:"timestamp"`
}

// An answer: whether the libraries accept what was shown, and what they read in it.
// Sumdb is the verdict of x/mod where it has one of its own.
type answer struct {
	OK     bool     `json:"ok"`
	Error  string   `json:"error,omitempty"`
	Sumdb  *bool    `json:"sumdb,omitempty"`
	Name   string   `json:"name,omitempty"`
	Text   string   `json:"text,omitempty"`
	Signed []string `json:"signed,omitempty"`
	Others []string `json:"others,omitempty"`
	Origin string   `json:"origin,omitempty"`
	Index  uint64   `json:"index"`
	Size   uint64   `json:"size"`
	Level  uint64   `json:"level"`
	Width  uint8    `json:"width"`
	Root   []byte   `json:"root,omitempty"`
	Rest   []byte   `json:"rest,omitempty"`
	Hashes [][]byte `json:"hashes,omitempty"`
	Older  [][]byte `json:"older,omitempty"`
	Data   []byte   `json:"data,omitempty"`
	Quorum bool     `json:"quorum"`
}

var answers = map[string]func(question) (answer, error){
	"vkey":         readKey,
	"note":         openNote,
	"sign":         signNote,
	"checkpoint":   readCheckpoint,
	"inclusion":    checkInclusion,
	"consistency":  checkConsistency,
	"subtree":      checkSubtree,
	"prove":        prove,
	"proof-file":   readProofFile,
	"format-proof": formatProofFile,
	"bundle":       readBundle,
	"path":         readPath,
	"policy":       judgePolicy,
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "read" {
		if err := read(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		if err := out.Encode(judge(line)); err != nil {
			return
		}
	}
}

func judge(line []byte) (a answer) {
	defer func() {
		if r := recover(); r != nil {
			a = answer{Error: fmt.Sprintf("panic: %v", r)}
		}
	}()
	var q question
	if err := json.Unmarshal(line, &q); err != nil {
		return answer{Error: fmt.Sprintf("question: %v", err)}
	}
	f, known := answers[q.Op]
	if !known {
		return answer{Error: "question: unknown op"}
	}
	a, err := f(q)
	a.OK = err == nil
	if err != nil {
		a.Error = err.Error()
	}
	return a
}
