//go:build !windows

package torture

// A Report is what came of it all.
type Report struct {
	Seed   uint64  `json:"seed"`
	Dir    string  `json:"dir"`
	Probes []Probe `json:"probes"`
}

// OK reports whether every promise was kept.
func (r *Report) OK() bool {
	for _, p := range r.Probes {
		if !p.OK {
			return false
		}
	}
	return true
}
