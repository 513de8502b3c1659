// Package render makes the files of the repository that Flux reads out of a
// fleet's description. It is pure: the same description gives the same bytes.
//
// Everything that a cluster runs stands in its own folder, in full, with nothing
// shared: what a commit changes for a cluster is what it changes below that
// folder, and a version moves from region to region by folders.
//
//	clusters/REGION/CLUSTER/flux-system/   Flux itself, and what it reads
//	clusters/REGION/CLUSTER/barrage.yaml   the parts, in their order
//	clusters/REGION/CLUSTER/PART/          base, core, edge, predictor
package render

import (
	"fmt"
	"io/fs"
	"path"
	"slices"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/barrage-im/barrage/fleet/manifests"
	"github.com/barrage-im/barrage/fleet/spec"
)

// Files are paths of the repository and their contents.
type Files map[string][]byte

// Dir is the folder of a cluster.
func Dir(region, cluster string) string { return path.Join("clusters", region, cluster) }

// Render makes the files of all clusters. components is Flux's own
// gotk-components.yaml.
func Render(f *spec.Fleet, components []byte) (Files, error) {
	files := Files{}
	for i := range f.Regions {
		for j := range f.Regions[i].Clusters {
			c := cluster{f: f, region: &f.Regions[i], c: &f.Regions[i].Clusters[j], files: files}
			if err := c.render(components); err != nil {
				return nil, fmt.Errorf("render cluster %s: %w", c.c.Name, err)
			}
		}
	}
	return files, nil
}

// object is a Kubernetes object, or a part of one.
type object = map[string]any

type list = []any

// cluster renders one.
type cluster struct {
	f      *spec.Fleet
	region *spec.Region
	c      *spec.Cluster
	files  Files
}

func (c *cluster) render(components []byte) error {
	parts := []part{c.base(), c.core(), c.edge()}
	if c.f.Predictor.Mode != spec.Off {
		parts = append(parts, c.predictor())
	}
	for _, p := range parts {
		if err := c.build(p); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	c.flux(parts, components)
	return nil
}

// A part is a base of the manifests, what is put beside it, and what is changed
// in it.
type part struct {
	name    string
	objects []object // beside the base
	patches []patch  // of the base
	outside []object // in other namespaces
	after   []string // parts that must be ready before
}

type patch struct {
	kind, name string
	of         object
}

// build runs Kustomize in memory and writes the part's folder.
func (c *cluster) build(p part) error {
	const at = "/part"
	mem := filesys.MakeFsInMemory()
	err := fs.WalkDir(manifests.Bases, p.name, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := manifests.Bases.ReadFile(name)
		if err != nil {
			return err
		}
		return mem.WriteFile(path.Join("/bases", name), b)
	})
	if err != nil {
		return err
	}
	k := object{
		"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "namespace": c.f.Namespace,
		"resources": list{"../bases/" + p.name},
		"images":    list{object{"name": "barrage", "newName": c.f.Version.Image, "digest": c.f.Version.Digest}},
		"labels": list{object{"includeTemplates": true, "pairs": object{
			"barrage.im/region": c.region.Name, "barrage.im/cluster": c.c.Name,
		}}},
	}
	if len(p.objects) > 0 {
		var b []byte
		for _, o := range p.objects {
			b = append(b, "---\n"...)
			b = append(b, text(o)...)
		}
		if err := mem.WriteFile(at+"/objects.yaml", b); err != nil {
			return err
		}
		k["resources"] = append(k["resources"].(list), "objects.yaml")
	}
	var patches list
	for i, q := range p.patches {
		file := fmt.Sprintf("patch-%d.yaml", i)
		if err := mem.WriteFile(at+"/"+file, text(q.of)); err != nil {
			return err
		}
		patches = append(patches, object{"path": file, "target": object{"kind": q.kind, "name": q.name}, "options": object{"allowNameChange": true}})
	}
	if len(patches) > 0 {
		k["patches"] = patches
	}
	if err := mem.WriteFile(at+"/kustomization.yaml", text(k)); err != nil {
		return err
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(mem, at)
	if err != nil {
		return err
	}
	y, err := built.AsYaml()
	if err != nil {
		return err
	}
	for _, o := range p.outside {
		y = append(append(y, "---\n"...), text(o)...)
	}
	dir := path.Join(Dir(c.region.Name, c.c.Name), p.name)
	c.files[path.Join(dir, "objects.yaml")] = y
	c.files[path.Join(dir, "kustomization.yaml")] = text(object{"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": list{"objects.yaml"}})
	return nil
}

// text is an object as YAML, with its keys in order.
func text(o any) []byte {
	b, err := yaml.Marshal(o)
	if err != nil {
		panic(fmt.Sprintf("render: %v", err)) // maps of plain values
	}
	return b
}

// config is a ConfigMap with a process's configuration, named by what is in it:
// another configuration is another pod.
func config(name, file string, content object) object {
	return object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": object{"name": name}, "data": object{file: string(text(content))}}
}

// others are the networks of the other clusters.
func (c *cluster) others() (blocks list) {
	for _, r := range c.f.Regions {
		for _, o := range r.Clusters {
			if o.Name == c.c.Name {
				continue
			}
			if len(o.Peers) == 0 {
				return list{object{"ipBlock": object{"cidr": "0.0.0.0/0"}}, object{"ipBlock": object{"cidr": "::/0"}}}
			}
			for _, p := range o.Peers {
				blocks = append(blocks, object{"ipBlock": object{"cidr": p}})
			}
		}
	}
	return blocks
}

// addresses of core nodes, those of this cluster first, then of its region.
func (c *cluster) addresses() (out []string) {
	nodes := c.f.Nodes()
	near := func(n spec.Node) int {
		switch {
		case n.Cluster == c.c.Name:
			return 0
		case n.Region == c.region.Name:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(nodes, func(a, b spec.Node) int { return near(a) - near(b) })
	for _, n := range nodes {
		address := n.Address
		if n.Cluster == c.c.Name { // inside, by the Service
			address = fmt.Sprintf("%s.core.%s.svc:%d", n.Name, c.f.Namespace, spec.CorePort)
		}
		out = append(out, address)
	}
	return out
}

func quantity(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 30, "Gi"}, {1 << 20, "Mi"}, {1 << 10, "Ki"}} {
		if n >= u.size && n%u.size == 0 {
			return fmt.Sprintf("%d%s", n/u.size, u.name)
		}
	}
	return fmt.Sprint(n)
}
