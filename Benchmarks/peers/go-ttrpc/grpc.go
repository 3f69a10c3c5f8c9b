package main

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func grpcEcho(
	_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor,
) (any, error) {
	message := new(wrapperspb.BytesValue)
	if err := decode(message); err != nil {
		return nil, err
	}
	return message, nil
}

func serveGRPC(socket string) {
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: service,
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Echo", Handler: grpcEcho}},
	}, struct{}{})
	listener, err := net.Listen("unix", socket)
	check(err)
	fmt.Println("listening")
	check(server.Serve(listener))
}

func dialGRPC(socket string) unaryCall {
	connection, err := grpc.NewClient(
		"unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(err)
	return func(payload, answer *wrapperspb.BytesValue) error {
		return connection.Invoke(context.Background(), "/"+service+"/Echo", payload, answer)
	}
}
