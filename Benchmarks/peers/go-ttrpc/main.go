// The Go peer of Benchmarks/ttrpc and Benchmarks/grpc: a server that echoes and a client that measures,
// over a unix socket, with Go's ttrpc or gRPC in its default configuration.
//
//	go-bench server SOCKET
//	go-bench client SOCKET CONNECTIONS IN-FLIGHT BYTES WARM-UP-SECONDS SECONDS [echo|stream|grpc]
//	go-bench grpc-server SOCKET
//
// The client prints one line of JSON.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const service = "bench.Echo"

// Messages of a stream that are on their way.
const window = 16

func main() {
	if len(os.Args) >= 3 && os.Args[1] == "server" {
		serve(os.Args[2])
	}
	if len(os.Args) >= 3 && os.Args[1] == "grpc-server" {
		serveGRPC(os.Args[2])
	}
	if len(os.Args) >= 8 && os.Args[1] == "client" {
		kind := "echo"
		if len(os.Args) > 8 {
			kind = os.Args[8]
		}
		measure(os.Args[2], number(3), number(4), number(5), seconds(6), seconds(7), kind)
		return
	}
	fmt.Fprintln(os.Stderr, "usage: see the head of main.go")
	os.Exit(2)
}

func number(index int) int {
	value, err := strconv.Atoi(os.Args[index])
	check(err)
	return value
}

func seconds(index int) time.Duration {
	value, err := strconv.ParseFloat(os.Args[index], 64)
	check(err)
	return time.Duration(value * float64(time.Second))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "go-bench:", err)
		os.Exit(1)
	}
}

func serve(socket string) {
	server, err := ttrpc.NewServer()
	check(err)
	server.RegisterService(service, &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{
			"Echo": func(ctx context.Context, decode func(interface{}) error) (interface{}, error) {
				var message wrapperspb.BytesValue
				if err := decode(&message); err != nil {
					return nil, err
				}
				return &message, nil
			},
		},
		Streams: map[string]ttrpc.Stream{
			"Stream": {
				StreamingClient: true, StreamingServer: true,
				Handler: func(ctx context.Context, stream ttrpc.StreamServer) (interface{}, error) {
					for {
						var message wrapperspb.BytesValue
						if err := stream.RecvMsg(&message); err != nil {
							// The client's end of the stream, or of the connection.
							return nil, nil
						}
						if err := stream.SendMsg(&message); err != nil {
							return nil, err
						}
					}
				},
			},
		},
	})
	listener, err := net.Listen("unix", socket)
	check(err)
	fmt.Println("listening")
	check(server.Serve(context.Background(), listener))
}

func measure(
	socket string, connections, inFlight, size int, warmUp, duration time.Duration, kind string,
) {
	var workers sync.WaitGroup
	var lock sync.Mutex
	var latencies []time.Duration
	payload := &wrapperspb.BytesValue{Value: make([]byte, size)}
	began := time.Now().Add(warmUp)
	ends := began.Add(duration)
	for range connections {
		var client *ttrpc.Client
		var call unaryCall
		if kind == "grpc" {
			call = dialGRPC(socket)
		} else {
			connection, err := net.Dial("unix", socket)
			check(err)
			client = ttrpc.NewClient(connection)
			call = func(payload, answer *wrapperspb.BytesValue) error {
				return client.Call(context.Background(), service, "Echo", payload, answer)
			}
		}
		for range inFlight {
			workers.Add(1)
			go func() {
				defer workers.Done()
				var own []time.Duration
				if kind == "stream" {
					own = stream(client, payload, began, ends)
				} else {
					own = echo(call, payload, began, ends)
				}
				lock.Lock()
				latencies = append(latencies, own...)
				lock.Unlock()
			}()
		}
	}
	workers.Wait()
	sort.Slice(latencies, func(a, b int) bool { return latencies[a] < latencies[b] })
	count := len(latencies)
	if count == 0 {
		check(fmt.Errorf("no call ended in %v", duration))
	}
	fmt.Printf(
		`{"calls": %d, "seconds": %.6f, "p50": %.3f, "p99": %.3f}`+"\n", count, duration.Seconds(),
		float64(latencies[count/2].Nanoseconds())/1000,
		float64(latencies[count*99/100].Nanoseconds())/1000)
}

type unaryCall func(payload, answer *wrapperspb.BytesValue) error

// How long the calls took that began within the time measured.
func echo(
	call unaryCall, payload *wrapperspb.BytesValue, began, ends time.Time,
) (latencies []time.Duration) {
	for {
		start := time.Now()
		if start.After(ends) {
			return
		}
		var answer wrapperspb.BytesValue
		check(call(payload, &answer))
		if start.After(began) {
			latencies = append(latencies, time.Since(start))
		}
	}
}

// One stream with a window of messages on their way: one is sent for each that has come back.
func stream(
	client *ttrpc.Client, payload *wrapperspb.BytesValue, began, ends time.Time,
) (latencies []time.Duration) {
	stream, err := client.NewStream(
		context.Background(), &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true},
		service, "Stream", nil)
	check(err)
	var sent [window]time.Time
	for index := range sent {
		sent[index] = time.Now()
		check(stream.SendMsg(payload))
	}
	for index := 0; ; index = (index + 1) % window {
		var answer wrapperspb.BytesValue
		check(stream.RecvMsg(&answer))
		now := time.Now()
		if now.After(ends) {
			check(stream.CloseSend())
			return
		}
		if sent[index].After(began) {
			latencies = append(latencies, now.Sub(sent[index]))
		}
		sent[index] = now
		check(stream.SendMsg(payload))
	}
}
