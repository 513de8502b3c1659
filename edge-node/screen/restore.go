package screen

import (
	"errors"

	"github.com/barrage-im/barrage/protocol/rpc"
)

// restore puts the copies on disk in force. One that is damaged, or that nobody
// trusted has signed, is removed: core has it.
func (s *Screen) restore() {
	files, err := s.copies.files()
	if err != nil {
		s.log.Error("the copies of rules cannot be read", "dir", s.copies.dir, "err", err)
		return
	}
	if len(files) > 0 && len(s.keys) == 0 {
		s.log.Error("copies of rules are not used: this edge trusts nobody to sign rules, see filter.keys", "copies", len(files))
		return
	}
	for _, path := range files {
		if err := s.restoreOne(path); err != nil {
			reason := reasonCopy
			var no *refusal
			if errors.As(err, &no) {
				reason = no.reason
			}
			s.met.refused.WithLabelValues(reason).Inc()
			s.log.Error("a copy of rules is not used and removed", "path", path, "reason", reason, "err", errors.Join(err, s.copies.discard(path)))
		}
	}
	s.enforce()
}

func (s *Screen) restoreOne(path string) error {
	of, data, err := readCopy(path)
	if err != nil {
		return err
	}
	if s.copies.path(of.GetName()) != path {
		return errCopy // of another set: somebody moved files
	}
	// The canary was asked when these rules were new.
	made, err := s.build(of.GetName(), of.GetRooms(), of.GetStages()[0], data)
	if err != nil {
		return err
	}
	s.sets[made.name] = &watched{name: made.name, force: made}
	s.met.describe(made)
	s.log.Info("rules are in force, from a copy", "set", made.name, "version", made.version(), "mode", made.mode(), "words", made.filter.Len())
	return nil
}

// keep writes the copy of a set. Without a bundle it is the one on disk that is
// kept, with another stage.
func (s *Screen) keep(of *set, data []byte) {
	if s.copies == nil {
		return
	}
	if data == nil {
		var err error
		if _, data, err = readCopy(s.copies.path(of.name)); err != nil {
			s.log.Error("no copy of rules is kept", "set", of.name, "err", err)
			return
		}
	}
	err := s.copies.write(&rpc.FilterSet{Name: of.name, Rooms: of.rooms, Stages: []*rpc.FilterStage{of.stage}}, data)
	if err != nil {
		s.met.copyErrors.Inc()
		s.log.Error("no copy of rules is kept; they are in force until this edge stops", "set", of.name, "dir", s.copies.dir, "err", err)
	}
}
