package main

import (
	"context"
	"fmt"

	_ "github.com/containerd/containerd/api/events"
	events "github.com/containerd/containerd/api/services/ttrpc/events/v1"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Takes the events that shims publish, and prints a line for each: "event", the topic and the container.
func printEvents(place string) {
	server, err := ttrpc.NewServer()
	check(err)
	events.RegisterEventsService(server, printer{})
	fmt.Println("listening")
	check(server.Serve(context.Background(), listen(place)))
}

type printer struct{}

func (printer) Forward(_ context.Context, r *events.ForwardRequest) (*emptypb.Empty, error) {
	container := ""
	if event, err := r.Envelope.Event.UnmarshalNew(); err == nil {
		message := event.ProtoReflect()
		if field := message.Descriptor().Fields().ByName(protoreflect.Name("container_id")); field != nil {
			container = message.Get(field).String()
		}
	}
	fmt.Println("guest: event", r.Envelope.Topic, container)
	return &emptypb.Empty{}, nil
}
