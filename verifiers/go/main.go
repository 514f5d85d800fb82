// Checks a log of Rescind with the code of Go's checksum database, as Debian packages it
// (golang-golang-x-mod-dev): signature, every entry against authenticated tiles, and proofs of
// inclusion and consistency.
//
// Usage: verify LOG VKEY. Exit codes: 0 accepted, 1 something is wrong with the log, 2 could not
// check.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// directory is a log in the layout of C2SP, for code that has the layout of Go.
type directory string

func (d directory) Height() int { return 8 }

func (d directory) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var data [][]byte
	for _, t := range tiles {
		b, err := d.read(strings.Replace(t.Path(), "tile/8/", "tile/", 1))
		if err != nil {
			return nil, err
		}
		data = append(data, b)
	}
	return data, nil
}

func (d directory) SaveTiles([]tlog.Tile, [][]byte) {}

func (d directory) read(path string) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(d), path))
}

// bundle returns the entries of bundle n of a log of size entries.
func (d directory) bundle(n, size int64) ([][]byte, error) {
	width := size - n*256
	if width > 256 {
		width = 256
	}
	// A data tile of Go has the path of an entry bundle, but for two words.
	t := tlog.Tile{H: 8, L: -1, N: n, W: int(width)}
	b, err := d.read(strings.Replace(t.Path(), "tile/8/data/", "tile/entries/", 1))
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for len(b) > 0 {
		if len(b) < 2 {
			return nil, fmt.Errorf("bundle %d ends within a length", n)
		}
		length := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+length {
			return nil, fmt.Errorf("bundle %d ends within an entry", n)
		}
		entries = append(entries, b[2:2+length])
		b = b[2+length:]
	}
	return entries, nil
}

func check(log directory, vkey string) (findings []string, err error) {
	finding := func(format string, args ...interface{}) {
		findings = append(findings, fmt.Sprintf(format, args...))
	}
	signed, err := log.read("checkpoint")
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, err
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		finding("the checkpoint is not signed: %v", err)
		return findings, nil
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		finding("the note is not a checkpoint of %s", verifier.Name())
		return findings, nil
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return nil, err
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return nil, err
	}
	hashes := tlog.TileHashReader(tlog.Tree{N: size, Hash: root}, log)

	count := int64(0)
	for n := int64(0); n*256 < size; n++ {
		entries, err := log.bundle(n, size)
		if err != nil {
			return nil, err
		}
		var indexes []int64
		for i := range entries {
			indexes = append(indexes, tlog.StoredHashIndex(0, count+int64(i)))
		}
		stated, err := hashes.ReadHashes(indexes)
		if err != nil {
			finding("the tiles over bundle %d do not authenticate: %v", n, err)
			continue
		}
		for i, entry := range entries {
			if tlog.RecordHash(entry) != stated[i] {
				finding("entry %d does not have the hash of its tile", count+int64(i))
			}
		}
		count += int64(len(entries))
	}
	if count != size {
		finding("%d entries, the checkpoint says %d", count, size)
	}

	for _, index := range []int64{0, 1, size / 3, size / 2, size - 1} {
		if index >= size {
			continue
		}
		entries, err := log.bundle(index/256, size)
		if err != nil {
			return nil, err
		}
		leaf := tlog.RecordHash(entries[index%256])
		proof, err := tlog.ProveRecord(size, index, hashes)
		if err == nil {
			err = tlog.CheckRecord(proof, size, root, index, leaf)
		}
		if err != nil {
			finding("entry %d is not included: %v", index, err)
		}
	}
	for _, old := range []int64{1, 2, 3, 255, 256, 257, 65536, size} {
		if old > size {
			continue
		}
		oldRoot, err := tlog.TreeHash(old, hashes)
		if err == nil {
			var proof tlog.TreeProof
			proof, err = tlog.ProveTree(size, old, hashes)
			if err == nil {
				err = tlog.CheckTree(proof, size, root, old, oldRoot)
			}
		}
		if err != nil {
			finding("the tree does not continue that of size %d: %v", old, err)
		}
	}
	return findings, nil
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "expected LOG VKEY")
		os.Exit(2)
	}
	findings, err := check(directory(os.Args[1]), os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(2)
	}
	for _, finding := range findings {
		fmt.Println(finding)
	}
	if len(findings) > 0 {
		os.Exit(1)
	}
}
