package main

import (
	"fmt"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"golang.org/x/mod/sumdb/tlog"
)

var hasher = rfc6962.DefaultHasher

// maxSumdb is the largest size that x/mod is asked about: with a larger one its search for
// the largest power of two below never ends.
const maxSumdb = 1 << 62

// sumdbHashes is false for what x/mod's types cannot hold.
func sumdbHashes(all ...[]byte) ([]tlog.Hash, bool) {
	out := make([]tlog.Hash, 0, len(all))
	for _, h := range all {
		if len(h) != tlog.HashSize {
			return nil, false
		}
		out = append(out, tlog.Hash(h))
	}
	return out, true
}

func verdict(err error) *bool {
	v := err == nil
	return &v
}

func checkInclusion(q question) (answer, error) {
	var a answer
	hashes, ok := sumdbHashes(append([][]byte{q.Root, q.Leaf}, q.Hashes...)...)
	if ok && max(q.Size, q.Index) <= maxSumdb {
		a.Sumdb = verdict(tlog.CheckRecord(
			hashes[2:], int64(q.Size), hashes[0], int64(q.Index), hashes[1]))
	}
	return a, proof.VerifyInclusion(hasher, q.Index, q.Size, q.Leaf, q.Hashes, q.Root)
}

func checkConsistency(q question) (answer, error) {
	var a answer
	hashes, ok := sumdbHashes(append([][]byte{q.Root, q.OldRoot}, q.Hashes...)...)
	if ok && max(q.Size, q.Old) <= maxSumdb {
		a.Sumdb = verdict(tlog.CheckTree(
			hashes[2:], int64(q.Size), hashes[0], int64(q.Old), hashes[1]))
	}
	return a, proof.VerifyConsistency(hasher, q.Old, q.Size, q.Hashes, q.OldRoot, q.Root)
}

func checkSubtree(q question) (answer, error) {
	return answer{}, proof.VerifySubtreeConsistency(
		hasher, q.Start, q.Old, q.Size, q.Hashes, q.OldRoot, q.Root)
}

// prove builds with x/mod the tree over the leaf hashes in Hashes: its root, the proof of
// the leaf Index, and that the tree of Old leaves is a prefix.
func prove(q question) (answer, error) {
	leaves, ok := sumdbHashes(q.Hashes...)
	if !ok {
		return answer{}, fmt.Errorf("hashes: not of 32 bytes")
	}
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(places []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, 0, len(places))
		for _, p := range places {
			found = append(found, stored[p])
		}
		return found, nil
	})
	for i, leaf := range leaves {
		more, err := tlog.StoredHashesForRecordHash(int64(i), leaf, reader)
		if err != nil {
			return answer{}, err
		}
		stored = append(stored, more...)
	}
	size := int64(len(leaves))
	root, err := tlog.TreeHash(size, reader)
	if err != nil {
		return answer{}, err
	}
	inclusion, err := tlog.ProveRecord(size, int64(q.Index), reader)
	if err != nil {
		return answer{}, err
	}
	older, err := tlog.ProveTree(size, int64(q.Old), reader)
	if err != nil {
		return answer{}, err
	}
	return answer{Root: root[:], Hashes: plain(inclusion), Older: plain(older)}, nil
}

func plain(hashes []tlog.Hash) [][]byte {
	out := make([][]byte, 0, len(hashes))
	for _, h := range hashes {
		out = append(out, h[:])
	}
	return out
}

func readBundle(q question) (answer, error) {
	var b api.EntryBundle
	err := b.UnmarshalText(q.Data)
	return answer{Hashes: b.Entries}, err
}

// readPath reads what stands behind tile/: a level, and a path of its tile or bundle.
func readPath(q question) (answer, error) {
	if q.Level == "entries" {
		n, w, err := layout.ParseTileIndexPartial(q.Path)
		return answer{Index: n, Width: w}, err
	}
	l, n, w, err := layout.ParseTileLevelIndexPartial(q.Level, q.Path)
	return answer{Level: l, Index: n, Width: w}, err
}
