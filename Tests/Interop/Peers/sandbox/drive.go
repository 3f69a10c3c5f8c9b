package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	_ "github.com/containerd/containerd/api/services/containers/v1"
	_ "github.com/containerd/containerd/api/services/sandbox/v1"
	_ "github.com/containerd/containerd/api/services/tasks/v1"
	_ "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/ttrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Makes one call.
type caller func(ctx context.Context, service, method string, request, response proto.Message) error

// Connects, and returns what calls and what closes.
func connect(protocol, place string, material *material) (caller, func()) {
	namespace := os.Getenv("PEER_NAMESPACE")
	if namespace == "" {
		namespace = "default"
	}
	if protocol == "ttrpc" {
		connection, err := dial(place)
		check(err)
		if material != nil {
			connection = tls.Client(connection, material.client())
		}
		client := ttrpc.NewClient(connection)
		call := func(ctx context.Context, service, method string, request, response proto.Message) error {
			ctx = ttrpc.WithMetadata(ctx, ttrpc.MD{"containerd-namespace-ttrpc": {namespace}})
			return client.Call(ctx, service, method, request, response)
		}
		return call, func() { client.Close() }
	}
	transport := insecure.NewCredentials()
	if material != nil {
		transport = credentials.NewTLS(material.client())
	}
	connection, err := grpc.NewClient("passthrough:///sandbox", grpc.WithTransportCredentials(transport),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return dial(place) }))
	check(err)
	call := func(ctx context.Context, service, method string, request, response proto.Message) error {
		ctx = metadata.AppendToOutgoingContext(ctx, "containerd-namespace", namespace)
		return connection.Invoke(ctx, "/"+service+"/"+method, request, response)
	}
	return call, func() { connection.Close() }
}

func drive(protocol, place string, material *material, lines []string) {
	call, end := connect(protocol, place, material)
	defer end()
	for _, line := range lines {
		fmt.Println(carryOut(call, line))
	}
}

func carryOut(call caller, line string) string {
	path, text, _ := strings.Cut(line, " ")
	service, method, _ := strings.Cut(path, "/")
	descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	check(err)
	found := descriptor.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(method))
	if found == nil {
		fail(service + " has no method " + method)
	}
	request, response := message(found.Input()), message(found.Output())
	if strings.HasPrefix(text, "{") {
		check(protojson.Unmarshal([]byte(text), request))
	} else {
		check(prototext.Unmarshal([]byte(text), request))
	}
	limit, err := strconv.Atoi(os.Getenv("PEER_SECONDS"))
	if err != nil {
		limit = 30
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(limit)*time.Second)
	defer cancel()
	if err := call(ctx, service, method, request, response); err != nil {
		st := status.Convert(err)
		answer := st.Code().String() + " " + st.Message()
		for _, detail := range st.Details() {
			answer += fmt.Sprintf(" [%v]", detail)
		}
		return answer
	}
	answer, err := protojson.Marshal(response)
	if err != nil {
		// Packed messages of types that are not protobuf's, such as containers' specifications.
		return "OK " + strings.ReplaceAll(prototext.Format(response), "\n", " ")
	}
	// Its spaces are random on purpose.
	var compact bytes.Buffer
	check(json.Compact(&compact, answer))
	return "OK " + compact.String()
}

func message(descriptor protoreflect.MessageDescriptor) proto.Message {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(descriptor.FullName())
	check(err)
	return kind.New().Interface()
}

// Says how many of so many connections answered a call.
func storm(protocol, place string, material *material, words []string) {
	count, err := strconv.Atoi(words[0])
	check(err)
	answered := 0
	for range count {
		call, end := connect(protocol, place, material)
		if strings.HasPrefix(carryOut(call, "containerd.task.v3.Task/Connect {\"id\":\"x\"}"), "OK") {
			answered++
		}
		end()
	}
	fmt.Println(answered)
}
