package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The lines that a client carries out. A TEXT of the form "size:N" stands for N letters, and what is
// longer than 1000 is printed the same way.
//
//	call METHOD TEXT MILLISECONDS [KEY=VALUE ...]   a unary call; 0: no timeout
//	many COUNT                                      that many Echo calls at once
//	collect METHOD TEXT...                          client streaming
//	list METHOD TEXT                                server streaming
//	lockstep METHOD TEXT...                         bidirectional, each is sent behind the last one's echo
//	burst METHOD TEXT...                            bidirectional, all are sent before anything is read
//	unread METHOD COUNT SIZE                        sends to a stream that is not read, then calls Echo
//	churn                                           calls of all kinds until the process is killed
//
// What is printed is "ok ANSWER", the messages with commas between them and " end" or how they ended,
// or a failure: "error CODE TEXT [TYPE:HEX ...]" for a status, "failed TEXT" for anything else.
func runClient(socket string, lines []string) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		fail(err)
	}
	client := ttrpc.NewClient(conn)
	for _, line := range lines {
		fields := strings.Split(line, "\t")
		for i := range fields {
			if size, ok := strings.CutPrefix(fields[i], "size:"); ok {
				fields[i] = strings.Repeat("x", number(size))
			}
		}
		fmt.Println(carryOut(client, fields[0], fields[1:]))
	}
}

func carryOut(client *ttrpc.Client, what string, args []string) string {
	switch what {
	case "call":
		return call(client, args)
	case "many":
		return many(client, number(args[0]))
	case "collect":
		return collect(client, args[0], args[1:])
	case "list":
		return list(client, args[0], args[1])
	case "lockstep":
		return lockstep(client, args[0], args[1:])
	case "burst":
		return burst(client, args[0], args[1:])
	case "unread":
		return unread(client, args[0], number(args[1]), number(args[2]))
	case "churn":
		churn(client)
	}
	fail("unknown line " + what)
	return ""
}

func say(message string) string {
	if len(message) > 1000 {
		return fmt.Sprintf("size:%d", len(message))
	}
	return message
}

// How a call failed.
func describe(err error) string {
	st, ok := status.FromError(err)
	if !ok {
		return "failed " + err.Error()
	}
	words := []string{fmt.Sprintf("error %d %s", st.Code(), st.Message())}
	for _, detail := range st.Proto().Details {
		words = append(words, fmt.Sprintf("%s:%x", detail.TypeUrl, detail.Value))
	}
	return strings.Join(words, " ")
}

func echo(client *ttrpc.Client, ctx context.Context, asked string) (string, error) {
	var answer wrapperspb.StringValue
	err := client.Call(ctx, service, "Echo", text(asked), &answer)
	return answer.Value, err
}

func call(client *ttrpc.Client, args []string) string {
	ctx := context.Background()
	if timeout := number(args[2]); timeout != 0 {
		limited, cancel := context.WithTimeout(ctx, time.Duration(timeout)*time.Millisecond)
		defer cancel()
		ctx = limited
	}
	// Not by Append, which makes keys lower-case: Go sends them as the map has them.
	md := ttrpc.MD{}
	for _, pair := range args[3:] {
		key, value, _ := strings.Cut(pair, "=")
		md[key] = append(md[key], value)
	}
	if len(md) > 0 {
		ctx = ttrpc.WithMetadata(ctx, md)
	}
	var answer wrapperspb.StringValue
	if err := client.Call(ctx, service, args[0], text(args[1]), &answer); err != nil {
		return describe(err)
	}
	return "ok " + say(answer.Value)
}

func many(client *ttrpc.Client, count int) string {
	var group sync.WaitGroup
	for i := range count {
		group.Add(1)
		go func() {
			defer group.Done()
			asked := fmt.Sprint(i)
			if answer, err := echo(client, context.Background(), asked); err != nil || answer != asked {
				fail(fmt.Sprintf("%s became %q: %v", asked, answer, err))
			}
		}()
	}
	group.Wait()
	return fmt.Sprintf("ok %d", count)
}

func open(client *ttrpc.Client, method string, sends, receives bool, request any) ttrpc.ClientStream {
	stream, err := client.NewStream(
		context.Background(),
		&ttrpc.StreamDesc{StreamingClient: sends, StreamingServer: receives}, service, method, request)
	if err != nil {
		fail(err)
	}
	return stream
}

func collect(client *ttrpc.Client, method string, messages []string) string {
	stream := open(client, method, true, false, nil)
	for _, message := range messages {
		if err := stream.SendMsg(text(message)); err != nil {
			return describe(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		return describe(err)
	}
	var answer wrapperspb.StringValue
	if err := stream.RecvMsg(&answer); err != nil {
		return describe(err)
	}
	return "ok " + say(answer.Value)
}

// Everything that comes, and how it ends.
func rest(stream ttrpc.ClientStream, before []string) string {
	for {
		var answer wrapperspb.StringValue
		err := stream.RecvMsg(&answer)
		if err != nil {
			ending := "end"
			if !errors.Is(err, io.EOF) {
				ending = describe(err)
			}
			return strings.Join(before, ",") + " " + ending
		}
		before = append(before, say(answer.Value))
	}
}

func list(client *ttrpc.Client, method, request string) string {
	return rest(open(client, method, false, true, text(request)), nil)
}

func lockstep(client *ttrpc.Client, method string, messages []string) string {
	stream := open(client, method, true, true, nil)
	var answers []string
	for _, message := range messages {
		if err := stream.SendMsg(text(message)); err != nil {
			return describe(err)
		}
		var answer wrapperspb.StringValue
		if err := stream.RecvMsg(&answer); err != nil {
			ending := "end"
			if !errors.Is(err, io.EOF) {
				ending = describe(err)
			}
			return strings.Join(answers, ",") + " " + ending
		}
		answers = append(answers, say(answer.Value))
	}
	if err := stream.CloseSend(); err != nil {
		return describe(err)
	}
	return rest(stream, answers)
}

func burst(client *ttrpc.Client, method string, messages []string) string {
	stream := open(client, method, true, true, nil)
	go func() {
		for _, message := range messages {
			if stream.SendMsg(text(message)) != nil {
				return
			}
		}
		// It fails only when the stream has ended, which is what is printed then.
		_ = stream.CloseSend()
	}()
	return rest(stream, nil)
}

func unread(client *ttrpc.Client, method string, count, size int) string {
	stream := open(client, method, true, true, nil)
	message := text(strings.Repeat("x", size))
	for i := range count {
		if err := stream.SendMsg(message); err != nil {
			return fmt.Sprintf("sent %d: %s", i, describe(err))
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	answer, err := echo(client, ctx, "still here")
	if err != nil {
		return describe(err)
	}
	return "ok " + answer
}

func churn(client *ttrpc.Client) {
	fmt.Println("churning")
	for range 4 {
		go func() {
			for {
				if _, err := echo(client, context.Background(), "x"); err != nil {
					fail(err)
				}
			}
		}()
		go func() {
			for {
				lockstep(client, "EchoStream", []string{"a", "b"})
			}
		}()
		go func() {
			for {
				collect(client, "Sum", []string{"1", "2", "3"})
			}
		}()
		go func() { call(client, []string{"Sleep", "600000", "0"}) }()
	}
	select {}
}
