package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func serve(socket string) {
	server, err := ttrpc.NewServer()
	if err != nil {
		fail(err)
	}
	server.RegisterService(service, &ttrpc.ServiceDesc{Methods: methods(), Streams: streams()})
	listener, err := net.Listen("unix", socket)
	if err != nil {
		fail(err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	ended := make(chan error)
	go func() { ended <- server.Serve(context.Background(), listener) }()
	fmt.Println("listening")
	select {
	case err := <-ended:
		fail(err)
	case which := <-signals:
		if which == syscall.SIGINT {
			fmt.Println("closed", server.Close(), <-ended)
			// What is under way goes on; the process is ended from outside.
			select {}
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		fmt.Println("shut down", server.Shutdown(ctx), <-ended)
	}
}

func method(run func(ctx context.Context, asked string) (string, error)) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
		var request wrapperspb.StringValue
		if err := unmarshal(&request); err != nil {
			return nil, err
		}
		answer, err := run(ctx, request.Value)
		if err != nil {
			return nil, err
		}
		return text(answer), nil
	}
}

var asleep, woken atomic.Int64

func methods() map[string]ttrpc.Method {
	return map[string]ttrpc.Method{
		"Echo": method(func(_ context.Context, asked string) (string, error) {
			return asked, nil
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
		"Sleep": method(func(ctx context.Context, milliseconds string) (string, error) {
			asleep.Add(1)
			defer asleep.Add(-1)
			select {
			case <-time.After(time.Duration(number(milliseconds)) * time.Millisecond):
				return "slept", nil
			case <-ctx.Done():
				woken.Add(1)
				return "", ctx.Err()
			}
		}),
		"Asleep": method(func(context.Context, string) (string, error) {
			return strconv.FormatInt(asleep.Load(), 10), nil
		}),
		"Woken": method(func(context.Context, string) (string, error) {
			return strconv.FormatInt(woken.Load(), 10), nil
		}),
		"Fail": method(func(_ context.Context, what string) (string, error) {
			return "", failure(what)
		}),
		"Letters": method(func(_ context.Context, size string) (string, error) {
			return strings.Repeat("x", number(size)), nil
		}),
		"Process": method(func(context.Context, string) (string, error) {
			return strconv.Itoa(os.Getpid()), nil
		}),
	}
}

type incoming struct{ ttrpc.StreamServer }

// The next message; io.EOF behind the last one.
func (s incoming) next() (string, error) {
	var message wrapperspb.StringValue
	err := s.RecvMsg(&message)
	return message.Value, err
}

func streams() map[string]ttrpc.Stream {
	return map[string]ttrpc.Stream{
		"Sum":        {StreamingClient: true, Handler: sum},
		"First":      {StreamingClient: true, Handler: first},
		"Divide":     {StreamingServer: true, Handler: divide},
		"Flood":      {StreamingServer: true, Handler: flood},
		"EchoStream": {StreamingClient: true, StreamingServer: true, Handler: echoStream},
		"Ignore": {StreamingClient: true, StreamingServer: true, Handler: func(
			ctx context.Context, _ ttrpc.StreamServer,
		) (interface{}, error) {
			<-ctx.Done()
			woken.Add(1)
			return nil, ctx.Err()
		}},
	}
}

func sum(_ context.Context, stream ttrpc.StreamServer) (interface{}, error) {
	total, count := 0, 0
	for {
		message, err := incoming{stream}.next()
		if err == io.EOF {
			return text(fmt.Sprintf("%d of %d", total, count)), nil
		}
		if err != nil {
			return nil, err
		}
		count++
		if message != "" {
			total += number(message)
		}
	}
}

func first(_ context.Context, stream ttrpc.StreamServer) (interface{}, error) {
	message, err := incoming{stream}.next()
	if err != nil {
		return nil, err
	}
	return text(message), nil
}

func divide(_ context.Context, stream ttrpc.StreamServer) (interface{}, error) {
	whole, err := incoming{stream}.next()
	if err != nil {
		return nil, err
	}
	for _, part := range strings.Split(whole, ",") {
		if what, ok := strings.CutPrefix(part, "!"); ok {
			return nil, failure(what)
		}
		if err := stream.SendMsg(text(part)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func flood(_ context.Context, stream ttrpc.StreamServer) (interface{}, error) {
	request, err := incoming{stream}.next()
	if err != nil {
		return nil, err
	}
	count, size, _ := strings.Cut(request, " ")
	message := text(strings.Repeat("x", number(size)))
	for range number(count) {
		if err := stream.SendMsg(message); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func echoStream(_ context.Context, stream ttrpc.StreamServer) (interface{}, error) {
	for {
		message, err := incoming{stream}.next()
		if err == io.EOF || (err == nil && message == ".") {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if what, ok := strings.CutPrefix(message, "!"); ok {
			return nil, failure(what)
		}
		if err := stream.SendMsg(text(message)); err != nil {
			return nil, err
		}
	}
}
