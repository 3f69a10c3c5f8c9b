package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/containerd/containerd/api/runtime/sandbox/v1"
	task "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types"
	taskstate "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func serve(protocol, place string, material *material) {
	listener := listen(place)
	tasks, sandboxes := &tasks{entries: map[string]*entry{}}, &sandboxes{entries: map[string]*sandboxEntry{}}
	done := make(chan os.Signal, 1)
	signal.Notify(done, unix.SIGTERM)
	switch protocol {
	case "grpc":
		var options []grpc.ServerOption
		if material != nil {
			options = append(options, grpc.Creds(credentials.NewTLS(material.server())))
		}
		server := grpc.NewServer(options...)
		task.RegisterTaskServer(server, tasks)
		sandbox.RegisterSandboxServer(server, sandboxes)
		go func() { check(server.Serve(listener)) }()
	case "ttrpc":
		if material != nil {
			listener = tls.NewListener(listener, material.server())
		}
		server, err := ttrpc.NewServer()
		check(err)
		task.RegisterTTRPCTaskService(server, tasks)
		sandbox.RegisterTTRPCSandboxService(server, sandboxes)
		go func() { check(server.Serve(context.Background(), listener)) }()
	}
	fmt.Println("listening")
	<-done
}

// The namespace, as containerd's clients send it.
func namespace(ctx context.Context) string {
	if incoming, ok := metadata.FromIncomingContext(ctx); ok {
		if values := incoming.Get("containerd-namespace"); len(values) > 0 {
			return values[0]
		}
	}
	if incoming, ok := ttrpc.GetMetadata(ctx); ok {
		if values, ok := incoming.Get("containerd-namespace-ttrpc"); ok && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

func notFound(what, id string) error { return status.Errorf(codes.NotFound, "%s %s: not found", what, id) }

// One process, the init of a task.
type entry struct {
	bundle string
	status taskstate.Status
	ended  chan struct{}
	code   uint32
	at     time.Time
}

type tasks struct {
	task.UnimplementedTaskServer
	mutex   sync.Mutex
	entries map[string]*entry
}

func (t *tasks) find(id string) (*entry, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if found, ok := t.entries[id]; ok {
		return found, nil
	}
	return nil, notFound("task", id)
}

func (t *tasks) Create(ctx context.Context, r *task.CreateTaskRequest) (*task.CreateTaskResponse, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if _, ok := t.entries[r.ID]; ok {
		return nil, status.Errorf(codes.AlreadyExists, "task %s: already exists", r.ID)
	}
	t.entries[r.ID] = &entry{
		bundle: namespace(ctx) + ":" + r.Bundle, status: taskstate.Status_CREATED, ended: make(chan struct{}),
	}
	return &task.CreateTaskResponse{Pid: 4242}, nil
}

func (t *tasks) Start(_ context.Context, r *task.StartRequest) (*task.StartResponse, error) {
	found, err := t.find(r.ID)
	if err != nil {
		return nil, err
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	found.status = taskstate.Status_RUNNING
	return &task.StartResponse{Pid: 4242}, nil
}

func (t *tasks) State(_ context.Context, r *task.StateRequest) (*task.StateResponse, error) {
	found, err := t.find(r.ID)
	if err != nil {
		return nil, err
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return &task.StateResponse{
		ID: r.ID, Bundle: found.bundle, Pid: 4242, Status: found.status, ExitStatus: found.code,
		ExitedAt: timestamppb.New(found.at),
	}, nil
}

func (t *tasks) Kill(_ context.Context, r *task.KillRequest) (*emptypb.Empty, error) {
	found, err := t.find(r.ID)
	if err != nil {
		return nil, err
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if found.status != taskstate.Status_STOPPED {
		found.status, found.code, found.at = taskstate.Status_STOPPED, 128+r.Signal, time.Now()
		close(found.ended)
	}
	return &emptypb.Empty{}, nil
}

func (t *tasks) Wait(ctx context.Context, r *task.WaitRequest) (*task.WaitResponse, error) {
	found, err := t.find(r.ID)
	if err != nil {
		return nil, err
	}
	select {
	case <-found.ended:
		return &task.WaitResponse{ExitStatus: found.code, ExitedAt: timestamppb.New(found.at)}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (t *tasks) Delete(_ context.Context, r *task.DeleteRequest) (*task.DeleteResponse, error) {
	found, err := t.find(r.ID)
	if err != nil {
		return nil, err
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if found.status == taskstate.Status_RUNNING {
		// With a detail, which must arrive as it was sent.
		refused, err := status.New(codes.FailedPrecondition, "task "+r.ID+" runs").
			WithDetails(wrapperspb.String("kill it first"))
		if err != nil {
			return nil, err
		}
		return nil, refused.Err()
	}
	delete(t.entries, r.ID)
	return &task.DeleteResponse{Pid: 4242, ExitStatus: found.code, ExitedAt: timestamppb.New(found.at)}, nil
}

func (t *tasks) Pids(_ context.Context, r *task.PidsRequest) (*task.PidsResponse, error) {
	if _, err := t.find(r.ID); err != nil {
		return nil, err
	}
	return &task.PidsResponse{Processes: []*taskstate.ProcessInfo{{Pid: 4242}}}, nil
}

func (t *tasks) Stats(_ context.Context, r *task.StatsRequest) (*task.StatsResponse, error) {
	if _, err := t.find(r.ID); err != nil {
		return nil, err
	}
	figures, err := anypb.New(wrapperspb.UInt64(7))
	return &task.StatsResponse{Stats: figures}, err
}

func (t *tasks) Connect(_ context.Context, r *task.ConnectRequest) (*task.ConnectResponse, error) {
	answer := &task.ConnectResponse{ShimPid: uint32(os.Getpid()), Version: "go"}
	if _, err := t.find(r.ID); err == nil {
		answer.TaskPid = 4242
	}
	return answer, nil
}

func (t *tasks) Shutdown(context.Context, *task.ShutdownRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

func (t *tasks) unserved(what string) (*emptypb.Empty, error) {
	return nil, status.Errorf(codes.Unimplemented, "%s: not implemented", what)
}

func (t *tasks) Pause(context.Context, *task.PauseRequest) (*emptypb.Empty, error) {
	return t.unserved("pause")
}
func (t *tasks) Resume(context.Context, *task.ResumeRequest) (*emptypb.Empty, error) {
	return t.unserved("resume")
}
func (t *tasks) Checkpoint(context.Context, *task.CheckpointTaskRequest) (*emptypb.Empty, error) {
	return t.unserved("checkpoint")
}
func (t *tasks) Exec(context.Context, *task.ExecProcessRequest) (*emptypb.Empty, error) {
	return t.unserved("exec")
}
func (t *tasks) ResizePty(context.Context, *task.ResizePtyRequest) (*emptypb.Empty, error) {
	return t.unserved("resize")
}
func (t *tasks) CloseIO(context.Context, *task.CloseIORequest) (*emptypb.Empty, error) {
	return t.unserved("close")
}
func (t *tasks) Update(context.Context, *task.UpdateTaskRequest) (*emptypb.Empty, error) {
	return t.unserved("update")
}

type sandboxEntry struct {
	namespace, state string
	annotations      map[string]string
	created          time.Time
	ended            chan struct{}
	at               time.Time
}

type sandboxes struct {
	sandbox.UnimplementedSandboxServer
	mutex   sync.Mutex
	entries map[string]*sandboxEntry
}

func (s *sandboxes) find(id string) (*sandboxEntry, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if found, ok := s.entries[id]; ok {
		return found, nil
	}
	return nil, notFound("sandbox", id)
}

func (s *sandboxes) CreateSandbox(
	ctx context.Context, r *sandbox.CreateSandboxRequest,
) (*sandbox.CreateSandboxResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if _, ok := s.entries[r.SandboxID]; ok {
		return nil, status.Errorf(codes.AlreadyExists, "sandbox %s: already exists", r.SandboxID)
	}
	s.entries[r.SandboxID] = &sandboxEntry{
		namespace: namespace(ctx), state: "SANDBOX_NOTREADY", annotations: r.Annotations,
		ended: make(chan struct{}),
	}
	return &sandbox.CreateSandboxResponse{}, nil
}

func (s *sandboxes) StartSandbox(
	_ context.Context, r *sandbox.StartSandboxRequest,
) (*sandbox.StartSandboxResponse, error) {
	found, err := s.find(r.SandboxID)
	if err != nil {
		return nil, err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	found.state, found.created = "SANDBOX_READY", time.Now()
	return &sandbox.StartSandboxResponse{
		Pid: uint32(os.Getpid()), CreatedAt: timestamppb.New(found.created),
	}, nil
}

func (s *sandboxes) Platform(
	context.Context, *sandbox.PlatformRequest,
) (*sandbox.PlatformResponse, error) {
	return &sandbox.PlatformResponse{
		Platform: &types.Platform{OS: "linux", Architecture: "riscv64", Variant: "peer"},
	}, nil
}

func (s *sandboxes) StopSandbox(
	_ context.Context, r *sandbox.StopSandboxRequest,
) (*sandbox.StopSandboxResponse, error) {
	found, err := s.find(r.SandboxID)
	if err != nil {
		return nil, err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if found.at.IsZero() {
		found.state, found.at = "SANDBOX_NOTREADY", time.Now()
		close(found.ended)
	}
	return &sandbox.StopSandboxResponse{}, nil
}

func (s *sandboxes) WaitSandbox(
	ctx context.Context, r *sandbox.WaitSandboxRequest,
) (*sandbox.WaitSandboxResponse, error) {
	found, err := s.find(r.SandboxID)
	if err != nil {
		return nil, err
	}
	select {
	case <-found.ended:
		return &sandbox.WaitSandboxResponse{ExitStatus: 3, ExitedAt: timestamppb.New(found.at)}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *sandboxes) SandboxStatus(
	_ context.Context, r *sandbox.SandboxStatusRequest,
) (*sandbox.SandboxStatusResponse, error) {
	found, err := s.find(r.SandboxID)
	if err != nil {
		return nil, err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	answer := &sandbox.SandboxStatusResponse{
		SandboxID: r.SandboxID, Pid: uint32(os.Getpid()), State: found.state,
		CreatedAt: timestamppb.New(found.created), ExitedAt: timestamppb.New(found.at),
	}
	if r.Verbose {
		answer.Info = map[string]string{"namespace": found.namespace, "color": found.annotations["color"]}
	}
	return answer, nil
}

func (s *sandboxes) PingSandbox(_ context.Context, r *sandbox.PingRequest) (*sandbox.PingResponse, error) {
	_, err := s.find(r.SandboxID)
	return &sandbox.PingResponse{}, err
}

func (s *sandboxes) ShutdownSandbox(
	_ context.Context, r *sandbox.ShutdownSandboxRequest,
) (*sandbox.ShutdownSandboxResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.entries, r.SandboxID)
	return &sandbox.ShutdownSandboxResponse{}, nil
}

func (s *sandboxes) SandboxMetrics(
	_ context.Context, r *sandbox.SandboxMetricsRequest,
) (*sandbox.SandboxMetricsResponse, error) {
	if _, err := s.find(r.SandboxID); err != nil {
		return nil, err
	}
	figures, err := anypb.New(wrapperspb.UInt64(9))
	return &sandbox.SandboxMetricsResponse{
		Metrics: &types.Metric{ID: r.SandboxID, Timestamp: timestamppb.Now(), Data: figures},
	}, err
}
