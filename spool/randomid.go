package spool

import "sync"

// neighbours is how many random ids of a process in a row have their names in
// one directory below ids/. Jobs that are made together then change the same
// few blocks, of which the journal of the file system has so much less to
// write. (64 and 10,000 differed from it by no more than the noise.)
const neighbours = 1000

// randomIDs makes ids of 12 random characters.
type randomIDs struct {
	mu   sync.Mutex
	left int  // so many more in this directory
	hash byte // its name
}

// next makes an id. The first of a row chooses their directory, by chance.
func (r *randomIDs) next(rand func(n int) string) string {
	id := rand(12)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left == 0 {
		r.left, r.hash = neighbours, idSum(id)
	}
	r.left--
	return withHash(id, r.hash)
}

const base32 = "abcdefghijklmnopqrstuvwxyz234567" // the characters of random ids

// withHash changes the last two characters of an id so that it has that hash.
// There always are two that do: what they add to the low byte of a CRC-32 does
// not depend on what stands before them, and takes all 256 values.
func withHash(id string, hash byte) string {
	if idSum(id) == hash {
		return id
	}
	head := id[:len(id)-2]
	crc := crcOf(head)
	const n = uint32(len(base32))
	for k := range n * n {
		pair := (crc>>8 + k) % (n * n)
		a, b := base32[pair/n], base32[pair%n]
		if ^byte(crcStep(crcStep(crc, a), b)) == hash {
			return head + string([]byte{a, b})
		}
	}
	return id // not reached: see above
}
