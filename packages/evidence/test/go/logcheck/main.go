// Command logcheck is the other side of the embedded log's tests: it judges checkpoints, proofs and tiles with Go's own
// golang.org/x/mod/sumdb packages. One JSON case on standard input, one JSON answer on standard output.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type record struct {
	Index int64
	Hash  []byte
	Proof [][]byte
}

type tree struct {
	Size  int64
	Hash  []byte
	Proof [][]byte
}

type input struct {
	Vkey       string
	Checkpoint string
	Records    []record
	Trees      []tree
	// Directory of the log; its tiles are read when it is not empty.
	Directory string
}

type answer struct {
	// Empty when accepted.
	Checkpoint string
	Records    []string
	Trees      []string
	// Tree hash computed from the tiles, hex, or the error.
	Tiles string
	// Proofs Go made from the tiles for Records, to be compared with ours.
	Proofs [][][]byte
}

func hash(b []byte) (h tlog.Hash, err error) {
	if len(b) != tlog.HashSize {
		return h, fmt.Errorf("hash of %d bytes", len(b))
	}
	copy(h[:], b)
	return h, nil
}

func hashes(list [][]byte) (out []tlog.Hash, err error) {
	for _, b := range list {
		h, err := hash(b)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// tiles reads C2SP paths (tile/L/N) where x/mod has tile/H/L/N.
type tiles struct{ directory string }

func (t tiles) Height() int                          { return 8 }
func (t tiles) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (t tiles) ReadTiles(list []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range list {
		path := "tile/" + strings.TrimPrefix(tile.Path(), "tile/8/")
		b, err := os.ReadFile(filepath.Join(t.directory, path))
		if err != nil {
			return nil, err
		}
		data = append(data, b)
	}
	return data, nil
}

func check(in input) (out answer) {
	verifier, err := note.NewVerifier(in.Vkey)
	if err != nil {
		out.Checkpoint = err.Error()
		return out
	}
	opened, err := note.Open([]byte(in.Checkpoint), note.VerifierList(verifier))
	if err != nil {
		out.Checkpoint = err.Error()
		return out
	}
	head, err := parseCheckpoint(opened.Text)
	if err != nil {
		out.Checkpoint = err.Error()
		return out
	}
	for _, r := range in.Records {
		h, err := hash(r.Hash)
		proof, err2 := hashes(r.Proof)
		if err == nil && err2 == nil {
			err = tlog.CheckRecord(proof, head.N, head.Hash, r.Index, h)
		}
		out.Records = append(out.Records, text(err))
	}
	for _, t := range in.Trees {
		h, err := hash(t.Hash)
		proof, err2 := hashes(t.Proof)
		if err == nil && err2 == nil {
			err = tlog.CheckTree(proof, head.N, head.Hash, t.Size, h)
		}
		out.Trees = append(out.Trees, text(err))
	}
	if in.Directory != "" {
		reader := tlog.TileHashReader(head, tiles{in.Directory})
		h, err := tlog.TreeHash(head.N, reader)
		if err != nil {
			out.Tiles = err.Error()
			return out
		}
		out.Tiles = fmt.Sprintf("%x", h[:])
		for _, r := range in.Records {
			proof, err := tlog.ProveRecord(head.N, r.Index, reader)
			if err != nil {
				out.Tiles = err.Error()
				return out
			}
			list := [][]byte{}
			for _, h := range proof {
				list = append(list, append([]byte{}, h[:]...))
			}
			out.Proofs = append(out.Proofs, list)
		}
	}
	return out
}

// parseCheckpoint reads origin, size and root; x/mod's own ParseTree wants its fixed origin.
func parseCheckpoint(body string) (tlog.Tree, error) {
	lines := strings.SplitN(body, "\n", 2)
	if len(lines) != 2 {
		return tlog.Tree{}, fmt.Errorf("no origin line")
	}
	return tlog.ParseTree([]byte("go.sum database tree\n" + lines[1]))
}

func main() {
	var in input
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if err := json.NewEncoder(os.Stdout).Encode(check(in)); err != nil {
		os.Exit(2)
	}
}
