package main

import (
	"fmt"

	f_log "github.com/transparency-dev/formats/log"
	f_note "github.com/transparency-dev/formats/note"
	f_proof "github.com/transparency-dev/formats/proof"
	f_witness "github.com/transparency-dev/formats/witness"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

func verifiers(keys []string) ([]note.Verifier, error) {
	vs := make([]note.Verifier, 0, len(keys))
	for _, k := range keys {
		v, err := f_note.NewVerifier(k)
		if err != nil {
			return nil, err
		}
		vs = append(vs, v)
	}
	return vs, nil
}

func named(sigs []note.Signature) []string {
	names := make([]string, 0, len(sigs))
	for _, s := range sigs {
		names = append(names, fmt.Sprintf("%s+%08x", s.Name, s.Hash))
	}
	return names
}

func readKey(q question) (answer, error) {
	v, err := f_note.NewVerifier(q.Text)
	if err != nil {
		return answer{}, err
	}
	return answer{Name: fmt.Sprintf("%s+%08x", v.Name(), v.KeyHash())}, nil
}

func openNote(q question) (answer, error) {
	vs, err := verifiers(q.Keys)
	if err != nil {
		return answer{}, fmt.Errorf("key: %w", err)
	}
	n, err := note.Open(q.Note, note.VerifierList(vs...))
	if err != nil {
		return answer{}, err
	}
	return answer{
		Text: n.Text, Signed: named(n.Sigs), Others: named(n.UnverifiedSigs),
	}, nil
}

// signNote signs Text with secret keys: a log's, or a cosigner's as the type says.
func signNote(q question) (answer, error) {
	signers := make([]note.Signer, 0, len(q.Keys))
	for _, k := range q.Keys {
		s, err := note.NewSigner(k)
		if err != nil {
			if s, err = f_note.NewSignerForCosignatureV1(k); err != nil {
				return answer{}, err
			}
		}
		signers = append(signers, s)
	}
	signed, err := note.Sign(&note.Note{Text: q.Text}, signers...)
	return answer{Data: signed}, err
}

// readCheckpoint believes the first of Keys as the log's and the others as witnesses'.
func readCheckpoint(q question) (answer, error) {
	vs, err := verifiers(q.Keys)
	if err != nil {
		return answer{}, fmt.Errorf("key: %w", err)
	}
	c, rest, n, err := f_log.ParseCheckpoint(q.Note, q.Origin, vs[0], vs[1:]...)
	if err != nil {
		return answer{}, err
	}
	return answer{
		Origin: c.Origin, Size: c.Size, Root: c.Hash, Rest: rest, Signed: named(n.Sigs),
	}, nil
}

func readProofFile(q question) (answer, error) {
	vs, err := verifiers(q.Keys)
	if err != nil {
		return answer{}, fmt.Errorf("key: %w", err)
	}
	var p f_proof.TLogProof
	if err := p.Unmarshal(q.Data); err != nil {
		return answer{}, err
	}
	c, _, _, err := f_log.ParseCheckpoint(p.Checkpoint, q.Origin, vs[0], vs[1:]...)
	if err != nil {
		return answer{}, err
	}
	hashes := make([][]byte, 0, len(p.Hashes))
	for _, h := range p.Hashes {
		hashes = append(hashes, h[:])
	}
	err = proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, c.Size, q.Leaf, hashes, c.Hash)
	return answer{Index: p.Index, Size: c.Size, Root: c.Hash}, err
}

func formatProofFile(q question) (answer, error) {
	p := f_proof.TLogProof{Index: q.Index, Checkpoint: q.Note, ExtraData: q.Extra}
	for _, h := range q.Hashes {
		p.Hashes = append(p.Hashes, [32]byte(h))
	}
	return answer{Data: p.Marshal()}, nil
}

// judgePolicy reads the policy in Text and says if Note has its quorum.
func judgePolicy(q question) (answer, error) {
	g, err := f_witness.ParsePolicy([]byte(q.Text))
	if err != nil {
		return answer{}, err
	}
	return answer{Quorum: g.Satisfied(q.Note)}, nil
}
