// Calls of gRPC of each kind, without a schema: a message is its bytes.
//
//	grpc server ADDRESS
//	grpc client ADDRESS             one call of each kind
//	grpc many ADDRESS CONNECTIONS STREAMS       unary calls
//	grpc mixed ADDRESS CONNECTIONS STREAMS      calls of all kinds
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Larger than a frame, and than what HPACK's default table takes.
const metadataBytes = 30_000

type raw struct{}

func (raw) Name() string { return "raw" }

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func main() {
	log.SetFlags(0)
	var err error
	switch arguments := os.Args[1:]; {
	case len(arguments) == 2 && arguments[0] == "server":
		err = serve(arguments[1])
	case len(arguments) == 2 && arguments[0] == "client":
		err = kinds(arguments[1])
	case len(arguments) == 4 && arguments[0] == "many":
		err = many(arguments[1], number(arguments[2]), number(arguments[3]), unary)
	case len(arguments) == 4 && arguments[0] == "mixed":
		err = many(arguments[1], number(arguments[2]), number(arguments[3]), mixed)
	default:
		log.Fatal("what?")
	}
	if err != nil {
		log.Fatal(err)
	}
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func serve(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := grpc.NewServer(
		grpc.ForceServerCodec(raw{}),
		grpc.MaxHeaderListSize(128<<10),
		grpc.UnknownServiceHandler(handle),
	)
	return server.Serve(listener)
}

func handle(_ any, stream grpc.ServerStream) error {
	path, _ := grpc.MethodFromServerStream(stream)
	kind := path[strings.LastIndex(path, "/")+1:]
	incoming, _ := metadata.FromIncomingContext(stream.Context())
	if large := incoming.Get("x-large"); len(large) > 0 {
		if err := stream.SetHeader(metadata.Pairs("x-large", large[0])); err != nil {
			return err
		}
	}
	if kind == "Fail" {
		return status.Error(codes.NotFound, "no such item")
	}
	var first []byte
	for n := 0; ; n++ {
		var message []byte
		if err := stream.RecvMsg(&message); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		if n == 0 {
			first = message
		}
		if kind == "Bidi" {
			if err := stream.SendMsg(&message); err != nil {
				return err
			}
		}
	}
	times := map[string]int{"Unary": 1, "Large": 1, "Gzip": 1, "ClientStream": 1, "ServerStream": 10}[kind]
	for range times {
		if err := stream.SendMsg(&first); err != nil {
			return err
		}
	}
	if kind == "Slow" || kind == "Cancel" {
		// Nothing, until the client has enough of it.
		<-stream.Context().Done()
		return stream.Context().Err()
	}
	return nil
}

func connect(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient(
		"passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})),
		grpc.WithMaxHeaderListSize(128<<10),
	)
}

// A call: all messages, then what comes back.
func call(
	ctx context.Context, conn *grpc.ClientConn, kind string, messages []string, options ...grpc.CallOption,
) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	both := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	stream, err := conn.NewStream(ctx, both, "/test.T/"+kind, options...)
	if err != nil {
		return nil, err
	}
	for _, text := range messages {
		message := []byte(text)
		if err := stream.SendMsg(&message); err != nil && err != io.EOF {
			return nil, err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	var got []string
	for {
		var message []byte
		if err := stream.RecvMsg(&message); err == io.EOF {
			return got, nil
		} else if err != nil {
			return got, err
		}
		got = append(got, string(message))
	}
}

// Fails when what comes back is not expected.
func expect(
	ctx context.Context, conn *grpc.ClientConn, kind string, messages, expected []string,
	code codes.Code, options ...grpc.CallOption,
) error {
	got, err := call(ctx, conn, kind, messages, options...)
	if status.Code(err) != code || fmt.Sprint(got) != fmt.Sprint(expected) {
		return fmt.Errorf("%s: %v, %w", kind, got, err)
	}
	return nil
}

func kinds(address string) error {
	conn, err := connect(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx := context.Background()
	one, three := []string{"one"}, []string{"one", "", "three"}
	ten := strings.Split(strings.Repeat("one ", 9)+"one", " ")
	deadline, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	given, giveUp := context.WithCancel(ctx)
	large := metadata.AppendToOutgoingContext(ctx, "x-large", strings.Repeat("m", metadataBytes))
	text := []string{strings.Repeat("a text that compresses ", 50)}
	for _, one := range []func() error{
		func() error { return expect(ctx, conn, "Unary", one, one, codes.OK) },
		func() error { return expect(ctx, conn, "ServerStream", one, ten, codes.OK) },
		func() error { return expect(ctx, conn, "ClientStream", three, one, codes.OK) },
		func() error { return expect(ctx, conn, "Bidi", three, three, codes.OK) },
		func() error { return expect(ctx, conn, "Fail", one, nil, codes.NotFound) },
		func() error { return expect(deadline, conn, "Slow", one, nil, codes.DeadlineExceeded) },
		func() error {
			timer := time.AfterFunc(50*time.Millisecond, giveUp)
			defer timer.Stop()
			return expect(given, conn, "Cancel", one, nil, codes.Canceled)
		},
		func() error {
			return expect(ctx, conn, "Gzip", text, text, codes.OK, grpc.UseCompressor(gzip.Name))
		},
		// Whatever follows has been sent after the resets.
		func() error { return expect(large, conn, "Large", one, one, codes.OK) },
	} {
		if err := one(); err != nil {
			return err
		}
	}
	return nil
}

func unary(ctx context.Context, conn *grpc.ClientConn, id string, _ int) error {
	return expect(ctx, conn, "Unary", []string{id}, []string{id}, codes.OK)
}

// A call of the kind that the number of its stream says.
func mixed(ctx context.Context, conn *grpc.ClientConn, id string, stream int) error {
	one, three := []string{id}, []string{id, "", id}
	switch stream % 8 {
	case 0:
		return expect(ctx, conn, "ServerStream", one, strings.Fields(strings.Repeat(id+" ", 10)), codes.OK)
	case 1:
		return expect(ctx, conn, "ClientStream", three, one, codes.OK)
	case 2:
		return expect(ctx, conn, "Bidi", three, three, codes.OK)
	case 3:
		return expect(ctx, conn, "Fail", one, nil, codes.NotFound)
	case 4:
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return expect(ctx, conn, "Slow", one, nil, codes.DeadlineExceeded)
	case 5:
		ctx, cancel := context.WithCancel(ctx)
		timer := time.AfterFunc(5*time.Second, cancel)
		defer timer.Stop()
		return expect(ctx, conn, "Cancel", one, nil, codes.Canceled)
	case 6:
		large := metadata.AppendToOutgoingContext(ctx, "x-large", strings.Repeat("m", metadataBytes))
		return expect(large, conn, "Large", one, one, codes.OK)
	}
	return unary(ctx, conn, id, stream)
}

// Calls, all at once on each of many connections; each names itself in its metadata and in its
// messages.
func many(
	address string, connections, streams int,
	call func(context.Context, *grpc.ClientConn, string, int) error,
) error {
	var all errgroup.Group
	for c := range connections {
		conn, err := connect(address)
		if err != nil {
			return err
		}
		defer conn.Close()
		for s := range streams {
			all.Go(func() error {
				id := fmt.Sprintf("%d-%d", c, s)
				ctx := metadata.AppendToOutgoingContext(context.Background(), "x-id", id)
				return call(ctx, conn, id, s)
			})
		}
	}
	return all.Wait()
}
