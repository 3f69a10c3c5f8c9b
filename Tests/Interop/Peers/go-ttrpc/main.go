// A ttrpc peer that is not ours: server and client of the service t.S over a unix socket, built with
// the Go implementation that Debian packages.
//
//	peer serve PATH                             prints "ready" and serves until it is killed
//	peer call PATH METHOD TEXT TIMEOUT [K=V]... prints "ok TEXT" or "error CODE MESSAGE DETAIL..."
//	peer many PATH COUNT                        makes COUNT calls at once, prints "ok COUNT"
//
// Messages are google.protobuf.StringValue. A TEXT of the form "size:N" stands for N letters, and
// answers that long are printed the same way.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/gogo/protobuf/types"
	"github.com/golang/protobuf/ptypes/any"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const service = "t.S"

const detailType = "type.googleapis.com/google.protobuf.StringValue"

func main() {
	if len(os.Args) < 3 {
		fail("usage: peer serve|call|many PATH ...")
	}
	switch path, args := os.Args[2], os.Args[3:]; os.Args[1] {
	case "serve":
		serve(path)
	case "call":
		call(path, args)
	case "many":
		many(path, args[0])
	default:
		fail("unknown command " + os.Args[1])
	}
}

func fail(what interface{}) {
	fmt.Fprintln(os.Stderr, what)
	os.Exit(2)
}

type handler func(ctx context.Context, text string) (string, error)

func method(run handler) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
		var request types.StringValue
		if err := unmarshal(&request); err != nil {
			return nil, err
		}
		text, err := run(ctx, request.Value)
		if err != nil {
			return nil, err
		}
		return &types.StringValue{Value: text}, nil
	}
}

func serve(path string) {
	server, err := ttrpc.NewServer()
	if err != nil {
		fail(err)
	}
	server.Register(service, map[string]ttrpc.Method{
		"Echo": method(func(_ context.Context, text string) (string, error) {
			return text, nil
		}),
		"Metadata": method(func(ctx context.Context, key string) (string, error) {
			md, _ := ttrpc.GetMetadata(ctx)
			values, _ := md.Get(key)
			return strings.Join(values, ","), nil
		}),
		"Remaining": method(func(ctx context.Context, _ string) (string, error) {
			deadline, ok := ctx.Deadline()
			if !ok {
				return "none", nil
			}
			return strconv.FormatInt(time.Until(deadline).Milliseconds(), 10), nil
		}),
		"Fail": method(func(_ context.Context, text string) (string, error) {
			return "", status.Error(codes.NotFound, text)
		}),
		"FailWith": method(func(_ context.Context, what string) (string, error) {
			parts := strings.SplitN(what, " ", 2)
			code, err := strconv.Atoi(parts[0])
			if err != nil {
				return "", err
			}
			detail, err := (&types.StringValue{Value: parts[1]}).Marshal()
			if err != nil {
				return "", err
			}
			return "", status.ErrorProto(&spb.Status{
				Code: int32(code), Message: parts[1],
				Details: []*any.Any{{TypeUrl: detailType, Value: detail}},
			})
		}),
		"Letters": method(func(_ context.Context, size string) (string, error) {
			return expand("size:" + size), nil
		}),
		"Hang": method(func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}),
	})
	listener, err := net.Listen("unix", path)
	if err != nil {
		fail(err)
	}
	fmt.Println("ready")
	fail(server.Serve(context.Background(), listener))
}

func dial(path string) *ttrpc.Client {
	conn, err := net.Dial("unix", path)
	if err != nil {
		fail(err)
	}
	return ttrpc.NewClient(conn)
}

func call(path string, args []string) {
	timeout, err := time.ParseDuration(args[2])
	if err != nil {
		fail(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	md := ttrpc.MD{}
	for _, pair := range args[3:] {
		parts := strings.SplitN(pair, "=", 2)
		md.Append(parts[0], parts[1])
	}
	ctx = ttrpc.WithMetadata(ctx, md)
	var response types.StringValue
	request := &types.StringValue{Value: expand(args[1])}
	if err := dial(path).Call(ctx, service, args[0], request, &response); err != nil {
		st, _ := status.FromError(err)
		fmt.Printf("error %d %s", st.Code(), st.Message())
		for _, detail := range st.Proto().GetDetails() {
			fmt.Printf(" %s:%x", detail.TypeUrl, detail.Value)
		}
		fmt.Println()
		return
	}
	text := response.Value
	if len(text) > 1000 {
		text = fmt.Sprintf("size:%d", len(text))
	}
	fmt.Printf("ok %s\n", text)
}

func many(path, count string) {
	n, err := strconv.Atoi(count)
	if err != nil {
		fail(err)
	}
	client := dial(path)
	var group sync.WaitGroup
	for i := 0; i < n; i++ {
		group.Add(1)
		go func(text string) {
			defer group.Done()
			var response types.StringValue
			request := &types.StringValue{Value: text}
			err := client.Call(context.Background(), service, "Echo", request, &response)
			if err != nil || response.Value != text {
				fail(fmt.Sprintf("%s became %q: %v", text, response.Value, err))
			}
		}(strconv.Itoa(i))
	}
	group.Wait()
	fmt.Printf("ok %d\n", n)
}

func expand(text string) string {
	if strings.HasPrefix(text, "size:") {
		n, err := strconv.Atoi(strings.TrimPrefix(text, "size:"))
		if err != nil {
			fail(err)
		}
		return strings.Repeat("x", n)
	}
	return text
}
