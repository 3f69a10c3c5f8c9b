// A client of CRI: pods and containers of a daemon, one operation a run.
//
//	cri SOCKET runp NAME HANDLER [pid] [host]   prints the pod's id; pid: its containers share one pid
//	                                            namespace; host: they have the host's network
//	cri SOCKET create POD NAME IMAGE WORD...    prints the container's id; its log is NAME.log in the pod's folder
//	cri SOCKET start|stop|rm CONTAINER
//	cri SOCKET stopp|rmp POD
//	cri SOCKET exec CONTAINER WORD...           prints what it prints, and ends as it ends
//	cri SOCKET pods                             lines of: id name state
//	cri SOCKET ps                               lines of: id name state exit-code
//	cri SOCKET status POD                       lines of: key value
//	cri SOCKET stats CONTAINER                  lines of: key value
//	cri SOCKET images                           lines of names
//
// Logs are below CRI_LOGS; cgroups below CRI_CGROUP.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func main() {
	if len(os.Args) < 3 {
		fail(fmt.Errorf("usage: cri SOCKET OPERATION ARGUMENT..."))
	}
	connection, err := grpc.NewClient("unix://"+os.Args[1],
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fail(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	client := &client{ctx, cri.NewRuntimeServiceClient(connection), cri.NewImageServiceClient(connection)}
	if err := client.run(os.Args[2], os.Args[3:]); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(125)
}

type client struct {
	ctx     context.Context
	runtime cri.RuntimeServiceClient
	images  cri.ImageServiceClient
}

func (c *client) run(operation string, words []string) error {
	need := map[string]int{
		"runp": 2, "create": 4, "start": 1, "stop": 1, "rm": 1, "stopp": 1, "rmp": 1, "exec": 2,
		"status": 1, "stats": 1,
	}
	if len(words) < need[operation] {
		return fmt.Errorf("%s takes %d arguments", operation, need[operation])
	}
	switch operation {
	case "runp":
		config := pod(words[0], namespaces(words[2:]))
		answer, err := c.runtime.RunPodSandbox(c.ctx,
			&cri.RunPodSandboxRequest{Config: config, RuntimeHandler: words[1]})
		if err != nil {
			return err
		}
		fmt.Println(answer.PodSandboxId)
	case "create":
		return c.create(words[0], words[1], words[2], words[3:])
	case "start":
		_, err := c.runtime.StartContainer(c.ctx, &cri.StartContainerRequest{ContainerId: words[0]})
		return err
	case "stop":
		_, err := c.runtime.StopContainer(c.ctx, &cri.StopContainerRequest{ContainerId: words[0], Timeout: 1})
		return err
	case "rm":
		_, err := c.runtime.RemoveContainer(c.ctx, &cri.RemoveContainerRequest{ContainerId: words[0]})
		return err
	case "stopp":
		_, err := c.runtime.StopPodSandbox(c.ctx, &cri.StopPodSandboxRequest{PodSandboxId: words[0]})
		return err
	case "rmp":
		_, err := c.runtime.RemovePodSandbox(c.ctx, &cri.RemovePodSandboxRequest{PodSandboxId: words[0]})
		return err
	case "exec":
		answer, err := c.runtime.ExecSync(c.ctx,
			&cri.ExecSyncRequest{ContainerId: words[0], Cmd: words[1:], Timeout: 30})
		if err != nil {
			return err
		}
		os.Stdout.Write(answer.Stdout)
		os.Stderr.Write(answer.Stderr)
		os.Exit(int(answer.ExitCode))
	case "pods":
		answer, err := c.runtime.ListPodSandbox(c.ctx, &cri.ListPodSandboxRequest{})
		if err != nil {
			return err
		}
		for _, pod := range answer.Items {
			fmt.Println(pod.Id, pod.Metadata.Name, pod.State)
		}
	case "ps":
		return c.list()
	case "status":
		return c.status(words[0])
	case "stats":
		answer, err := c.runtime.ContainerStats(c.ctx, &cri.ContainerStatsRequest{ContainerId: words[0]})
		if err != nil {
			return err
		}
		fmt.Println("cpu", answer.Stats.GetCpu().GetUsageCoreNanoSeconds().GetValue())
		fmt.Println("memory", answer.Stats.GetMemory().GetWorkingSetBytes().GetValue())
	case "images":
		answer, err := c.images.ListImages(c.ctx, &cri.ListImagesRequest{})
		if err != nil {
			return err
		}
		for _, image := range answer.Images {
			fmt.Println(strings.Join(image.RepoTags, " "))
		}
	default:
		return fmt.Errorf("unknown operation %s", operation)
	}
	return nil
}

func namespaces(words []string) *cri.NamespaceOption {
	options := &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER}
	for _, word := range words {
		switch word {
		case "pid":
			options.Pid = cri.NamespaceMode_POD
		case "host":
			options.Network = cri.NamespaceMode_NODE
		}
	}
	return options
}

func pod(name string, namespaces *cri.NamespaceOption) *cri.PodSandboxConfig {
	config := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Uid: name, Namespace: "tests"},
		LogDirectory: filepath.Join(os.Getenv("CRI_LOGS"), name),
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent:    os.Getenv("CRI_CGROUP"),
			SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: namespaces},
		},
	}
	if namespaces.Network == cri.NamespaceMode_POD {
		config.Hostname = name
		config.Linux.Sysctls = map[string]string{"kernel.shm_rmid_forced": "1"}
	}
	return config
}

func (c *client) create(id, name, image string, words []string) error {
	status, err := c.runtime.PodSandboxStatus(c.ctx, &cri.PodSandboxStatusRequest{PodSandboxId: id})
	if err != nil {
		return err
	}
	options := status.Status.GetLinux().GetNamespaces().GetOptions()
	answer, err := c.runtime.CreateContainer(c.ctx, &cri.CreateContainerRequest{
		PodSandboxId: id,
		Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: name},
			Image:    &cri.ImageSpec{Image: image},
			Command:  words,
			LogPath:  name + ".log",
			Linux: &cri.LinuxContainerConfig{
				SecurityContext: &cri.LinuxContainerSecurityContext{
					NamespaceOptions: options,
				},
			},
		},
		SandboxConfig: pod(status.Status.Metadata.Name, options),
	})
	if err != nil {
		return err
	}
	fmt.Println(answer.ContainerId)
	return nil
}

func (c *client) list() error {
	answer, err := c.runtime.ListContainers(c.ctx, &cri.ListContainersRequest{})
	if err != nil {
		return err
	}
	for _, container := range answer.Containers {
		code := int32(-1)
		status, err := c.runtime.ContainerStatus(c.ctx,
			&cri.ContainerStatusRequest{ContainerId: container.Id})
		if err == nil {
			code = status.Status.ExitCode
		}
		fmt.Println(container.Id, container.Metadata.Name, container.State, code)
	}
	return nil
}

func (c *client) status(id string) error {
	answer, err := c.runtime.PodSandboxStatus(c.ctx,
		&cri.PodSandboxStatusRequest{PodSandboxId: id, Verbose: true})
	if err != nil {
		return err
	}
	fmt.Println("state", answer.Status.State)
	fmt.Println("created", answer.Status.CreatedAt)
	for key, value := range answer.Info {
		fmt.Println(key, value)
	}
	return nil
}
