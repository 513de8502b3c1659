package render

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"time"
)

// fluxNamespace is where Flux runs.
const fluxNamespace = "flux-system"

// How often Flux looks whether a cluster is what it should be, whatever the
// repository says, and how soon it tries again what failed.
const (
	driftInterval = 10 * time.Minute
	retryInterval = 30 * time.Second
)

// sum is a short name of contents.
func sum(of ...object) string {
	h := sha256.New()
	for _, o := range of {
		h.Write(text(o))
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// flux writes Flux itself, what it reads, and the parts in their order.
func (c *cluster) flux(parts []part, components []byte) {
	dir := Dir(c.region.Name, c.c.Name)
	kustomization := func(resources ...any) object {
		return object{"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources}
	}
	c.put(path.Join(dir, "kustomization.yaml"), kustomization("flux-system", "barrage.yaml"))
	own := kustomization("gotk-components.yaml", "gotk-sync.yaml")
	own["patches"] = lockdown()
	c.put(path.Join(dir, "flux-system/kustomization.yaml"), own)
	c.files[path.Join(dir, "flux-system/gotk-components.yaml")] = components

	git := object{"url": c.f.Git.URL, "ref": object{"branch": c.f.Git.Branch}, "interval": c.f.Git.Interval.String(), "timeout": "60s"}
	if c.f.Git.Secret != "" {
		git["secretRef"] = object{"name": c.f.Git.Secret}
	}
	if c.f.Git.Signers != "" {
		git["verify"] = object{"mode": "HEAD", "secretRef": object{"name": c.f.Git.Signers}}
	}
	sync := []object{
		{"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": named("flux-system"), "spec": git},
		{"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": named("flux-system"), "spec": object{
			"interval": driftInterval.String(), "retryInterval": retryInterval.String(), "timeout": c.f.Flux.Timeout.String(), "path": "./" + dir, "prune": true, "wait": false,
			"sourceRef": object{"kind": "GitRepository", "name": "flux-system"},
		}},
	}
	if c.f.Flux.Webhook != "" {
		sync = append(sync, object{"apiVersion": "notification.toolkit.fluxcd.io/v1", "kind": "Receiver", "metadata": named("fleet"), "spec": object{
			"type": "generic", "secretRef": object{"name": c.f.Flux.Webhook},
			"resources": list{object{"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "name": "flux-system"}},
		}})
	}
	if c.f.Flux.Alerts != "" {
		sync = append(sync,
			object{"apiVersion": "notification.toolkit.fluxcd.io/v1beta3", "kind": "Provider", "metadata": named("fleet"), "spec": object{
				"type": "generic-hmac", "address": c.f.Flux.Alerts, "secretRef": object{"name": c.f.Flux.AlertKey},
			}},
			object{"apiVersion": "notification.toolkit.fluxcd.io/v1beta3", "kind": "Alert", "metadata": named("fleet"), "spec": object{
				"providerRef": object{"name": "fleet"}, "eventSeverity": "info",
				"eventSources":  list{object{"kind": "Kustomization", "name": "*"}, object{"kind": "GitRepository", "name": "*"}},
				"eventMetadata": object{"fleet": c.f.Name, "region": c.region.Name, "cluster": c.c.Name},
			}},
		)
	}
	if c.f.Flux.Images {
		sync = append(sync, c.images()...)
	}
	c.put(path.Join(dir, "flux-system/gotk-sync.yaml"), sync...)

	var order []object
	if c.f.Secrets.Decryption != "" {
		order = append(order, c.kustomization("secrets", "./secrets/"+c.c.Name, []string{"base"}, object{
			"decryption": object{"provider": "sops", "secretRef": object{"name": c.f.Secrets.Decryption}},
		}))
	}
	for _, p := range parts {
		after := p.after
		if p.name == "core" && c.f.Secrets.Decryption != "" {
			after = append(after, "secrets")
		}
		order = append(order, c.kustomization(p.name, "./"+path.Join(dir, p.name), after, nil))
	}
	c.put(path.Join(dir, "barrage.yaml"), order...)
}

// kustomization is Flux's: a folder that is applied, pruned and waited for.
func (c *cluster) kustomization(name, folder string, after []string, more object) object {
	s := object{
		"interval": driftInterval.String(), "retryInterval": retryInterval.String(), "timeout": c.f.Flux.Timeout.String(),
		"path": folder, "prune": true, "wait": true, "force": false,
		"sourceRef": object{"kind": "GitRepository", "name": "flux-system"},
	}
	var depends list
	for _, a := range after {
		depends = append(depends, object{"name": "barrage-" + a})
	}
	if len(depends) > 0 {
		s["dependsOn"] = depends
	}
	for k, v := range more {
		s[k] = v
	}
	return object{"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": named("barrage-" + name), "spec": s}
}

// images watches the registry and writes the digest that it finds into the
// description, from the first cluster only: there is one description.
func (c *cluster) images() []object {
	repository := object{"image": c.f.Version.Image, "interval": c.f.Git.Interval.String()}
	if c.f.Flux.Pull != "" {
		repository["secretRef"] = object{"name": c.f.Flux.Pull}
	}
	out := []object{
		{"apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImageRepository", "metadata": named("barrage"), "spec": repository},
		{"apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImagePolicy", "metadata": named("barrage"), "spec": object{
			"imageRepositoryRef": object{"name": "barrage"}, "policy": object{"semver": object{"range": c.f.Flux.Policy}},
			"digestReflectionPolicy": "Always", "interval": c.f.Git.Interval.String(),
		}},
	}
	if c.c.Name != c.f.Regions[0].Clusters[0].Name {
		return nil
	}
	author := object{"name": "barrage fleet", "email": "fleet@" + c.f.Name + ".invalid"}
	commit := object{"author": author, "messageTemplate": "fleet: a new image\n\n{{ range .Changed.Changes }}{{ .OldValue }} -> {{ .NewValue }}\n{{ end }}"}
	return append(out, object{"apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImageUpdateAutomation", "metadata": named("barrage"), "spec": object{
		"interval": c.f.Git.Interval.String(), "sourceRef": object{"kind": "GitRepository", "name": "flux-system"},
		"git":    object{"checkout": object{"ref": object{"branch": c.f.Git.Branch}}, "commit": commit, "push": object{"branch": c.f.Git.Branch}},
		"update": object{"path": "./fleet", "strategy": "Setters"},
	}})
}

// lockdown are flags of Flux's controllers: nothing of another namespace, no
// remote bases; health checks end when there is a newer revision; a part waits
// seconds, and not half a minute, for the one before it.
func lockdown() list {
	add := func(name string, args ...string) object {
		var ops list
		for _, a := range args {
			ops = append(ops, object{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": a})
		}
		return object{"patch": string(text(ops)), "target": object{"kind": "Deployment", "name": name}}
	}
	const crossed = "--no-cross-namespace-refs=true"
	return list{
		add("kustomize-controller", crossed, "--no-remote-bases=true", "--requeue-dependency=5s", "--feature-gates=CancelHealthCheckOnNewRevision=true,AdditiveCELDependencyCheck=true"),
		add("notification-controller", crossed),
	}
}

func named(name string) object { return object{"name": name, "namespace": fluxNamespace} }

// put writes objects as a YAML stream.
func (c *cluster) put(name string, objects ...object) {
	var b []byte
	for i, o := range objects {
		if i > 0 {
			b = append(b, "---\n"...)
		}
		b = append(b, text(o)...)
	}
	c.files[name] = b
}
