package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"

	f_note "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/tlog"
)

// What was built from the log's tiles, and checked against its checkpoint.
type report struct {
	Size        uint64 `json:"size"`
	Root        []byte `json:"root"`
	Inclusion   int    `json:"inclusion"`
	Consistency int    `json:"consistency"`
	Sumdb       int    `json:"sumdb"`
}

// read follows the log at a URL: with Tessera's client, and with x/mod's reader of tiles.
// -since is a checkpoint of it that was read earlier; -save where to put the one of now.
func read(arguments []string) error {
	flags := flag.NewFlagSet("read", flag.ContinueOnError)
	at := flags.String("url", "", "the log's prefix, which ends in a slash")
	key := flags.String("key", "", "the log's vkey")
	token := flags.String("token", "", "a bearer token")
	since := flags.String("since", "", "a file with an older checkpoint")
	save := flags.String("save", "", "a file for the checkpoint of now")
	steps := flags.Uint64("steps", 40, "how many leaves and sizes to prove")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	v, err := f_note.NewVerifier(*key)
	if err != nil {
		return err
	}
	prefix, err := url.Parse(*at)
	if err != nil {
		return err
	}
	f, err := client.NewHTTPFetcher(prefix, nil)
	if err != nil {
		return err
	}
	if *token != "" {
		f.SetAuthorizationHeader("Bearer " + *token)
	}
	var older []byte
	if *since != "" {
		if older, err = os.ReadFile(*since); err != nil {
			return err
		}
	}
	ctx := context.Background()
	tracker, err := client.NewLogStateTracker(
		ctx, f.ReadTile, older, v, v.Name(), client.UnilateralConsensus(f.ReadCheckpoint))
	if err != nil {
		return err
	}
	_, _, newest, err := tracker.Update(ctx)
	if err != nil {
		return err
	}
	if *save != "" {
		if err := os.WriteFile(*save, newest, 0o600); err != nil {
			return err
		}
	}
	return tell(ctx, f, tracker.Latest().Size, tracker.Latest().Hash, *steps)
}

func tell(
	ctx context.Context, f *client.HTTPFetcher, size uint64, root []byte, steps uint64,
) error {
	r := report{Size: size, Root: root}
	if size == 0 {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	var err error
	if r.Inclusion, r.Consistency, err = withTessera(ctx, f, size, root, steps); err != nil {
		return fmt.Errorf("tessera: %w", err)
	}
	if r.Sumdb, err = withSumdb(ctx, f, size, root, steps); err != nil {
		return fmt.Errorf("sumdb: %w", err)
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// evenly yields at most `steps` numbers below `size`, the last one among them.
func evenly(size, steps uint64) []uint64 {
	var out []uint64
	for i := size - 1; ; i -= max(1, size/steps) {
		out = append(out, i)
		if i < max(1, size/steps) {
			return out
		}
	}
}

func withTessera(
	ctx context.Context, f *client.HTTPFetcher, size uint64, root []byte, steps uint64,
) (int, int, error) {
	pb, err := client.NewProofBuilder(ctx, size, f.ReadTile)
	if err != nil {
		return 0, 0, err
	}
	places := evenly(size, steps)
	for _, i := range places {
		bundle, err := client.GetEntryBundle(ctx, f.ReadEntryBundle, i/layout.EntryBundleWidth, size)
		if err != nil {
			return 0, 0, err
		}
		leaf := hasher.HashLeaf(bundle.Entries[i%layout.EntryBundleWidth])
		path, err := pb.InclusionProof(ctx, i)
		if err != nil {
			return 0, 0, err
		}
		if err := proof.VerifyInclusion(hasher, i, size, leaf, path, root); err != nil {
			return 0, 0, err
		}
		small, err := rootAt(ctx, f, i+1)
		if err != nil {
			return 0, 0, err
		}
		path, err = pb.ConsistencyProof(ctx, i+1, size)
		if err != nil {
			return 0, 0, err
		}
		if err := proof.VerifyConsistency(hasher, i+1, size, path, small, root); err != nil {
			return 0, 0, err
		}
	}
	return len(places), len(places), nil
}

// rootAt computes the root of the first `size` leaves from their tiles.
func rootAt(ctx context.Context, f *client.HTTPFetcher, size uint64) ([]byte, error) {
	nodes, err := client.FetchRangeNodes(ctx, size, f.ReadTile)
	if err != nil {
		return nil, err
	}
	root := nodes[len(nodes)-1]
	for i := len(nodes) - 2; i >= 0; i-- {
		root = hasher.HashChildren(nodes[i], root)
	}
	return root, nil
}

// tiles lets x/mod read tiles of height 8 where tlog-tiles has them.
type tiles struct {
	ctx context.Context
	f   *client.HTTPFetcher
}

func (t tiles) Height() int { return layout.TileHeight }

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, 0, len(wanted))
	for _, w := range wanted {
		data, err := t.f.ReadTile(t.ctx, uint64(w.L), uint64(w.N), uint8(w.W%layout.TileWidth))
		if err != nil {
			return nil, err
		}
		if len(data) != w.W*tlog.HashSize {
			return nil, errors.New("a tile of another width")
		}
		out = append(out, data)
	}
	return out, nil
}

func withSumdb(
	ctx context.Context, f *client.HTTPFetcher, size uint64, root []byte, steps uint64,
) (int, error) {
	tree := tlog.Tree{N: int64(size), Hash: tlog.Hash(root)}
	reader := tlog.TileHashReader(tree, tiles{ctx, f})
	whole, err := tlog.TreeHash(tree.N, reader)
	if err != nil {
		return 0, err
	}
	if !bytes.Equal(whole[:], root) {
		return 0, errors.New("another root")
	}
	count := 0
	for _, i := range evenly(size, steps) {
		leaf, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(i))})
		if err != nil {
			return 0, err
		}
		path, err := tlog.ProveRecord(tree.N, int64(i), reader)
		if err != nil {
			return 0, err
		}
		if err := tlog.CheckRecord(path, tree.N, tree.Hash, int64(i), leaf[0]); err != nil {
			return 0, err
		}
		count++
	}
	return count, nil
}
