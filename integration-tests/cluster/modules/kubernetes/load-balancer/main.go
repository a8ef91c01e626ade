// Command load-balancer gives every Service of type LoadBalancer an address, as a cloud's controller does. kube-proxy
// does the rest: the addresses only have to be routed to the node.
//
//	Services (informer) ──▶ one worker: pool.assign ──▶ status.loadBalancer
//
// An address belongs to one Service until that Service is gone or changes its type.
package main

import (
	"context"
	"flag"
	"log"
	"net/netip"
	"os/signal"
	"syscall"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig file")
	first := flag.String("first", "10.250.1.1", "first address of the pool")
	last := flag.String("last", "10.250.255.254", "last address of the pool")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	config.QPS, config.Burst = 200, 400
	client := kubernetes.NewForConfigOrDie(config)
	addresses := newPool(netip.MustParseAddr(*first), netip.MustParseAddr(*last))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	run(ctx, client, addresses)
}

// run reconciles all Services after every change of one, and again a second after a failure.
func run(ctx context.Context, client kubernetes.Interface, addresses *pool) {
	factory := informers.NewSharedInformerFactory(client, 0)
	services := factory.Core().V1().Services()
	changed := make(chan struct{}, 1)
	mark := func(any) {
		select {
		case changed <- struct{}{}:
		default: // A pass is due already: it will see this change too.
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: mark, UpdateFunc: func(_, now any) { mark(now) }, DeleteFunc: mark}
	if _, err := services.Informer().AddEventHandler(handler); err != nil {
		log.Fatal(err)
	}
	lister := services.Lister()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	log.Print("following Services")
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
			if !reconcile(ctx, client, lister, addresses) {
				time.AfterFunc(time.Second, func() { mark(nil) })
			}
		}
	}
}

// reconcile reports whether every Service has what it should have.
func reconcile(ctx context.Context, client kubernetes.Interface, lister listers.ServiceLister, addresses *pool) bool {
	all, err := lister.List(labels.Everything())
	if err != nil {
		log.Print(err)
		return false
	}
	done := true
	present := map[types.UID]bool{}
	for _, service := range all {
		if wanted(service) {
			present[service.UID] = true
			// What an earlier process gave is kept.
			for _, ingress := range service.Status.LoadBalancer.Ingress {
				if address, err := netip.ParseAddr(ingress.IP); err == nil {
					addresses.keep(service.UID, address)
				}
			}
		}
	}
	addresses.releaseExcept(present)
	for _, service := range all {
		if err := apply(ctx, client, service, addresses); err != nil {
			log.Printf("%s/%s: %v", service.Namespace, service.Name, err)
			done = false
		}
	}
	return done
}

// wanted reports whether the Service asks this controller for an address: a class of its own names another one.
func wanted(service *core.Service) bool {
	return service.Spec.Type == core.ServiceTypeLoadBalancer && service.Spec.LoadBalancerClass == nil && service.DeletionTimestamp == nil
}

func apply(ctx context.Context, client kubernetes.Interface, service *core.Service, addresses *pool) error {
	var desired []core.LoadBalancerIngress
	if wanted(service) {
		address, err := addresses.assign(service.UID, service.Spec.LoadBalancerIP)
		if err != nil {
			return err
		}
		desired = []core.LoadBalancerIngress{{IP: address.String()}}
	} else if service.Spec.Type == core.ServiceTypeLoadBalancer {
		return nil
	}
	have := service.Status.LoadBalancer.Ingress
	if len(have) == len(desired) && (len(have) == 0 || have[0].IP == desired[0].IP) {
		return nil
	}
	changed := service.DeepCopy()
	changed.Status.LoadBalancer.Ingress = desired
	_, err := client.CoreV1().Services(service.Namespace).UpdateStatus(ctx, changed, meta.UpdateOptions{})
	if err == nil {
		log.Printf("%s/%s: %v", service.Namespace, service.Name, desired)
	}
	return err
}
