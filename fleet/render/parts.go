package render

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/barrage-im/barrage/fleet/spec"
)

// base is the namespace and what holds for everything in it.
func (c *cluster) base() part {
	p := part{name: "base"}
	if c.f.Namespace != "barrage" {
		p.patches = append(p.patches, patch{"Namespace", "barrage", object{"apiVersion": "v1", "kind": "Namespace", "metadata": object{"name": c.f.Namespace}}})
	}
	return p
}

// core is a StatefulSet of voters and one of learners, where there are any.
func (c *cluster) core() part {
	p := part{name: "core", after: []string{"base"}}
	name := "core-" + c.c.Name
	replicas := c.c.Voters
	if replicas == 0 { // learners only
		name, replicas = "learner-"+c.c.Name, c.c.Learner
	}
	conf := object{
		"region": c.region.Name, "data": "/var/lib/barrage/core", "listen": fmt.Sprintf(":%d", spec.CorePort),
		"join": c.addresses(), "shards": c.f.Core.Shards, "survive": c.f.Core.Survive,
		"storage": object{"cache": fmt.Sprintf("%dMiB", max(int64(c.f.Core.Memory)>>22, 64)), "ballast": "256MiB"},
		"log":     object{"format": "json"},
	}
	if c.f.Core.Home != "" {
		conf["home"] = c.f.Core.Home
	}
	if c.f.Core.Bootstrap != "" {
		conf["bootstrap_node"] = c.f.Core.Bootstrap
	}
	p.objects = append(p.objects, config("core", "core.yaml", conf))
	var sources list
	for _, n := range c.f.Nodes() {
		if n.Cluster != c.c.Name {
			continue
		}
		items := list{}
		for _, file := range []string{"ca.crt", "tls.crt", "tls.key"} {
			items = append(items, object{"key": file, "path": n.Name + "/" + file})
		}
		sources = append(sources, object{"secret": object{"name": n.Name + "-tls", "items": items}})
		p.objects = append(p.objects, c.certificate(n.Name+"-tls", "core", n.Name)...)
	}
	pod := object{
		"containers": list{object{
			"name": "core", "args": c.coreArgs(c.c.Voters == 0),
			"resources": resources(c.f.Core.CPU, int64(c.f.Core.Memory)),
		}},
		"volumes": list{object{"name": "tls", "projected": object{"defaultMode": 0o440, "sources": sources}}},
	}
	claim := object{"metadata": object{"name": "data"}, "spec": object{
		"accessModes": list{"ReadWriteOnce"}, "resources": object{"requests": object{"storage": quantity(int64(c.f.Core.Storage))}},
	}}
	if c.f.Core.StorageClass != "" {
		claim["spec"].(object)["storageClassName"] = c.f.Core.StorageClass
	}
	p.patches = append(p.patches, patch{"StatefulSet", "core", object{
		"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": object{"name": name},
		"spec": object{
			"replicas": replicas, "volumeClaimTemplates": list{claim},
			"template": object{"metadata": c.stamped(conf), "spec": pod},
		},
	}})
	if blocks := c.others(); len(blocks) > 0 {
		p.objects = append(p.objects, object{
			"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": object{"name": "core-other-clusters"},
			"spec": object{
				"podSelector": object{"matchLabels": object{"app.kubernetes.io/name": "core"}},
				"policyTypes": list{"Ingress", "Egress"},
				"ingress":     list{object{"from": blocks, "ports": list{object{"protocol": "TCP", "port": spec.CorePort}}}},
				"egress":      list{object{"to": blocks, "ports": list{object{"protocol": "TCP"}}}},
			},
		})
	}
	return p
}

// coreArgs adds to the base's what depends on the cluster.
func (c *cluster) coreArgs(learner bool) list {
	args := list{
		"core", "--config=/etc/barrage/core/core.yaml", "--node=$(POD_NAME)", "--tls=/etc/barrage/tls/$(POD_NAME)", "--ops-listen=$(POD_IP):8090",
		fmt.Sprintf("--advertise=$(POD_NAME).core.%s.svc.%s:%d", c.f.Namespace, c.c.Domain, spec.CorePort),
	}
	if learner {
		args = append(args, "--learner")
	}
	return args
}

// stamped is the metadata of a pod that must be another when its configuration is.
func (c *cluster) stamped(conf ...object) object {
	return object{"annotations": object{"barrage.im/config": sum(conf...)}}
}

func resources(cpu string, memory int64) object {
	return object{"requests": object{"cpu": cpu, "memory": quantity(memory)}, "limits": object{"memory": quantity(memory)}}
}

// certificate is cert-manager's request for an identity; nothing where secrets
// are made by hand.
func (c *cluster) certificate(secret, role, name string) []object {
	if c.f.Secrets.Certificates != spec.ByCertManager {
		return nil
	}
	return []object{{
		"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": object{"name": secret},
		"spec": object{
			"secretName": secret, "duration": "720h", "renewBefore": "240h", "commonName": name,
			"uris":       list{fmt.Sprintf("spiffe://barrage/%s/%s/%s", c.f.Name, role, name)},
			"usages":     list{"digital signature", "server auth", "client auth"},
			"privateKey": object{"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
			"issuerRef":  object{"name": c.f.Secrets.Issuer, "kind": "ClusterIssuer", "group": "cert-manager.io"},
		},
	}}
}

// grace is from the end of a pod to its kill: the wait before, the drain, and a
// margin for connections that do not take the hint.
const (
	beforeDrain = 5 * time.Second
	afterDrain  = 30 * time.Second
)

// edge is the gateways, and what scales them.
func (c *cluster) edge() part {
	e := c.f.Edge
	p := part{name: "edge", after: []string{"core"}}
	listen := object{"http": fmt.Sprintf(":%d", spec.HTTPPort), "tcp": fmt.Sprintf(":%d", spec.TCPPort)}
	ports := []int{spec.HTTPPort, spec.TCPPort}
	names := []string{"http-ws", "tcp-barrage"}
	if e.TLS {
		listen = object{
			"http": "", "https": fmt.Sprintf(":%d", spec.HTTPSPort), "tcps": fmt.Sprintf(":%d", spec.TCPSPort),
			"cert": "/etc/barrage/public/tls.crt", "key": "/etc/barrage/public/tls.key",
		}
		ports, names = []int{spec.HTTPSPort, spec.TCPSPort}, []string{"https-ws", "tls-barrage"}
	}
	if len(e.Origins) > 0 {
		listen["origins"] = e.Origins
	}
	auth, keys := object{}, object{}
	var paths []string
	for i, k := range e.Keys {
		file := fmt.Sprintf("key-%d.pem", i)
		keys[file] = k.PEM
		id := k.Algorithm
		if k.ID != "" {
			id += "@" + k.ID
		}
		paths = append(paths, id+":/etc/barrage/edge/"+file)
	}
	if len(paths) > 0 {
		auth["keys"] = paths
	}
	if e.JWKS != "" {
		auth["jwks_url"] = e.JWKS
	}
	if e.Issuer != "" {
		auth["issuer"] = e.Issuer
	}
	conf := object{
		"region": c.region.Name, "core": c.addresses(), "tls": "/etc/barrage/tls", "drain": e.Drain.String(), "listen": listen, "auth": auth,
		"limits": object{"max_connections": 2 * e.PerPod}, "filter": object{"dir": "/var/lib/barrage/filter"}, "log": object{"format": "json"},
	}
	if len(c.region.Endpoints) > 0 {
		conf["advertise"] = c.region.Endpoints
	}
	cm := config("edge", "edge.yaml", conf)
	maps.Copy(cm["data"].(object), keys)
	p.objects = append(p.objects, cm)
	p.objects = append(p.objects, c.certificate("edge-tls", "edge", "edge")...)

	var service, container, allowed list
	for i, port := range ports {
		s := object{"name": names[i], "port": port, "targetPort": names[i], "protocol": "TCP"}
		if e.Service == "NodePort" && e.Port > 0 {
			s["nodePort"] = e.Port + i
		}
		service = append(service, s)
		container = append(container, object{"name": names[i], "containerPort": port})
		allowed = append(allowed, object{"protocol": "TCP", "port": port})
	}
	svc := object{"type": e.Service, "ports": service}
	if e.Service == "ClusterIP" {
		svc["externalTrafficPolicy"] = nil
	}
	p.patches = append(p.patches,
		patch{"Service", "edge", object{"apiVersion": "v1", "kind": "Service", "metadata": object{"name": "edge"}, "spec": svc}},
		patch{"NetworkPolicy", "edge", object{
			"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": object{"name": "edge"},
			"spec": object{"ingress": list{object{"ports": allowed}}},
		}},
	)
	main := object{"name": "edge", "ports": append(container, object{"name": "ops", "containerPort": spec.OpsPort}), "resources": resources(e.CPU, int64(e.Memory))}
	pod := object{"terminationGracePeriodSeconds": int((beforeDrain + e.Drain + afterDrain) / time.Second), "containers": list{main}}
	if e.TLS {
		main["volumeMounts"] = list{object{"name": "public", "mountPath": "/etc/barrage/public", "readOnly": true}}
		pod["volumes"] = list{object{"name": "public", "secret": object{"secretName": "edge-public-tls", "defaultMode": 0o440}}}
		p.objects = append(p.objects, c.publicCertificate()...)
	}
	p.patches = append(p.patches, patch{"Deployment", "edge", object{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": object{"name": "edge"},
		"spec": object{"template": object{"metadata": c.stamped(conf, keys), "spec": pod}},
	}})
	if blocks := c.others(); len(blocks) > 0 {
		p.objects = append(p.objects, object{
			"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": object{"name": "edge-other-clusters"},
			"spec": object{
				"podSelector": object{"matchLabels": object{"app.kubernetes.io/name": "edge"}},
				"policyTypes": list{"Egress"},
				"egress":      list{object{"to": blocks, "ports": list{object{"protocol": "TCP"}}}},
			},
		})
	}
	p.objects = append(p.objects, c.scaler())
	return p
}

// publicCertificate is what clients see, of the hosts of the endpoints.
func (c *cluster) publicCertificate() []object {
	if c.f.Secrets.Certificates != spec.ByCertManager {
		return nil
	}
	seen, hosts := map[string]bool{}, list{}
	for _, e := range c.region.Endpoints {
		host := e[strings.Index(e, "://")+3:]
		host, _, _ = strings.Cut(host, "/")
		host, _, _ = strings.Cut(host, ":")
		if !seen[host] {
			seen[host] = true
			hosts = append(hosts, host)
		}
	}
	return []object{{
		"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": object{"name": "edge-public-tls"},
		"spec": object{"secretName": "edge-public-tls", "dnsNames": hosts, "issuerRef": object{"name": c.f.Secrets.PublicIssuer, "kind": "ClusterIssuer", "group": "cert-manager.io"}},
	}}
}

// scaler is what makes edges more and fewer. It grows at once and shrinks slowly:
// each edge that goes moves its users.
func (c *cluster) scaler() object {
	behaviour := object{
		"scaleUp": object{"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": list{
			object{"type": "Percent", "value": 100, "periodSeconds": 30}, object{"type": "Pods", "value": 4, "periodSeconds": 30},
		}},
		"scaleDown": object{"stabilizationWindowSeconds": 300, "selectPolicy": "Min", "policies": list{
			object{"type": "Percent", "value": 10, "periodSeconds": 60}, object{"type": "Pods", "value": 5, "periodSeconds": 60},
		}},
	}
	target := fmt.Sprint(c.f.Edge.PerPod)
	cpu := object{"type": "Resource", "resource": object{"name": "cpu", "target": object{"type": "Utilization", "averageUtilization": 70}}}
	if c.f.Predictor.Mode != spec.Off && c.f.Predictor.Autoscaler == spec.KEDA {
		triggers := list{object{"type": "cpu", "metricType": "Utilization", "metadata": object{"value": "70"}}}
		if c.f.Predictor.Prometheus != "" {
			triggers = append(triggers, object{"type": "prometheus", "metadata": object{"serverAddress": c.f.Predictor.Prometheus, "query": "sum(barrage_edge_connections)", "threshold": target}})
		}
		triggers = append(triggers, object{"type": "external", "metadata": object{"scalerAddress": fmt.Sprintf("predictor.%s:%d", c.f.Namespace, spec.KEDAPort), "targetSize": target, "region": c.region.Name}})
		return object{
			"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": object{"name": "edge"},
			"spec": object{
				"scaleTargetRef": object{"name": "edge"}, "minReplicaCount": c.c.Min, "maxReplicaCount": c.c.Max, "triggers": triggers,
				"advanced": object{"horizontalPodAutoscalerConfig": object{"behavior": behaviour}},
			},
		}
	}
	metrics := list{cpu}
	if c.f.Predictor.Mode != spec.Off {
		for _, name := range []string{"barrage_load", "barrage_predicted_load"} {
			metrics = append(metrics, object{"type": "External", "external": object{
				"metric": object{"name": name, "selector": object{"matchLabels": object{"region": c.region.Name}}},
				"target": object{"type": "AverageValue", "averageValue": target},
			}})
		}
	}
	return object{
		"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": object{"name": "edge"},
		"spec": object{
			"scaleTargetRef": object{"apiVersion": "apps/v1", "kind": "Deployment", "name": "edge"},
			"minReplicas":    c.c.Min, "maxReplicas": c.c.Max, "metrics": metrics, "behavior": behaviour,
		},
	}
}

// predictor is the forecast, and the API by which an autoscaler reads it.
func (c *cluster) predictor() part {
	p := part{name: "predictor", after: []string{"edge"}}
	demand := object{"dns": fmt.Sprintf("edge-ops.%s.svc:%d", c.f.Namespace, spec.OpsPort)}
	if c.f.Predictor.Prometheus != "" {
		demand = object{"prometheus": c.f.Predictor.Prometheus, "query": fmt.Sprintf("sum(barrage_edge_connections{namespace=%q})", c.f.Namespace)}
	}
	conf := object{
		"region": c.region.Name, "mode": c.f.Predictor.Mode, "demand": demand, "state": "/var/lib/barrage/state",
		"plan": object{"lead": c.f.Predictor.Lead.String(), "per_pod": c.f.Edge.PerPod}, "lease": object{"name": "predictor"}, "log": object{"format": "json"},
	}
	port := spec.MetricsPort
	name := "https-metrics"
	if c.f.Predictor.Autoscaler == spec.KEDA {
		port, name = spec.KEDAPort, "grpc-keda"
		conf["keda"] = object{"listen": fmt.Sprintf(":%d", port)}
	} else {
		conf["adapter"] = object{"listen": fmt.Sprintf(":%d", port)}
		p.objects = append(p.objects, c.externalMetrics()...)
		p.outside = append(p.outside, object{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": object{"name": "barrage-predictor-authentication", "namespace": "kube-system"},
			"roleRef":  object{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "extension-apiserver-authentication-reader"},
			"subjects": list{object{"kind": "ServiceAccount", "name": "predictor", "namespace": c.f.Namespace}},
		})
	}
	p.objects = append(p.objects, config("predictor", "predictor.yaml", conf))
	p.patches = append(p.patches,
		patch{"Service", "predictor", object{"apiVersion": "v1", "kind": "Service", "metadata": object{"name": "predictor"}, "spec": object{"ports": list{object{"name": name, "port": port, "targetPort": name, "protocol": "TCP"}}}}},
		patch{"Deployment", "predictor", object{
			"apiVersion": "apps/v1", "kind": "Deployment", "metadata": object{"name": "predictor"},
			"spec": object{"template": object{"metadata": c.stamped(conf), "spec": object{"containers": list{object{
				"name": "predictor", "ports": list{object{"name": "ops", "containerPort": spec.OpsPort}, object{"name": name, "containerPort": port}},
			}}}}},
		}},
	)
	return p
}

// externalMetrics is the API, and who may ask it: the autoscaler, by what the
// cluster says of it.
func (c *cluster) externalMetrics() []object {
	subject := list{object{"kind": "ServiceAccount", "name": "predictor", "namespace": c.f.Namespace}}
	bind := func(kind, name, namespace, refKind, ref string, subjects list) object {
		m := object{"name": name}
		if namespace != "" {
			m["namespace"] = namespace
		}
		return object{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": m, "subjects": subjects,
			"roleRef": object{"apiGroup": "rbac.authorization.k8s.io", "kind": refKind, "name": ref},
		}
	}
	return []object{
		{
			"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": object{"name": "v1beta1.external.metrics.k8s.io"},
			"spec": object{
				"group": "external.metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
				"insecureSkipTLSVerify": true, // its certificate is made at every start; the predictor verifies the API server
				"service":               object{"name": "predictor", "namespace": c.f.Namespace, "port": spec.MetricsPort},
			},
		},
		bind("ClusterRoleBinding", "barrage-predictor-delegator", "", "ClusterRole", "system:auth-delegator", subject),
		{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": object{"name": "barrage-external-metrics"},
			"rules": list{object{"apiGroups": list{"external.metrics.k8s.io"}, "resources": list{"*"}, "verbs": list{"get", "list"}}},
		},
		bind("ClusterRoleBinding", "barrage-external-metrics", "", "ClusterRole", "barrage-external-metrics", list{object{"kind": "ServiceAccount", "name": "horizontal-pod-autoscaler", "namespace": "kube-system"}}),
	}
}
