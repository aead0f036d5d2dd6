package grpcgo

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"testing"

	"azure-kms-provider/interop/harness"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	kmsv1 "k8s.io/kms/apis/v1beta1"
	kmsv2 "k8s.io/kms/apis/v2"
)

// byHand makes unary calls frame by frame, with Go's HTTP/2 framer: it sends headers that grpc-go cannot be told to
// send. Each call has a connection of its own.
type byHand struct {
	socket    string
	authority []hpack.HeaderField
	// piece is the largest part of a header block in one frame.
	piece int
}

func (h byHand) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errors.New("only unary calls")
}

func (h byHand) Invoke(ctx context.Context, method string, request, answer any, _ ...grpc.CallOption) error {
	connection, err := connect(h.socket)
	if err != nil {
		return err
	}
	defer connection.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := connection.SetDeadline(deadline); err != nil {
			return err
		}
	}
	framer := http2.NewFramer(connection, connection)
	if err := h.send(connection, framer, method, request.(proto.Message)); err != nil {
		return err
	}
	message, err := receive(framer)
	if err != nil {
		return err
	}
	return proto.Unmarshal(message, answer.(proto.Message))
}

func (h byHand) send(connection net.Conn, framer *http2.Framer, method string, request proto.Message) error {
	body, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	if _, err := connection.Write([]byte(http2.ClientPreface)); err != nil {
		return err
	}
	prefix := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))) // not compressed, and the length
	return errors.Join(
		framer.WriteSettings(),
		h.sendHeaders(framer, h.headers(method)),
		framer.WriteData(1, true, append(prefix, body...)),
	)
}

func (h byHand) headers(method string) []byte {
	fields := []hpack.HeaderField{header(":method", "POST"), header(":scheme", "http"), header(":path", method)}
	fields = append(fields, h.authority...)
	fields = append(fields, header("content-type", "application/grpc"), header("te", "trailers"))
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range fields {
		_ = encoder.WriteField(field) // a buffer takes everything
	}
	return block.Bytes()
}

func header(name, value string) hpack.HeaderField {
	return hpack.HeaderField{Name: name, Value: value}
}

func (h byHand) sendHeaders(framer *http2.Framer, block []byte) error {
	first, rest := cut(block, h.piece)
	err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: first, EndHeaders: len(rest) == 0})
	for err == nil && len(rest) > 0 {
		first, rest = cut(rest, h.piece)
		err = framer.WriteContinuation(1, len(rest) == 0, first)
	}
	return err
}

func cut(block []byte, piece int) (first, rest []byte) {
	piece = min(piece, len(block))
	return block[:piece], block[piece:]
}

// receive gives the message of the answer.
func receive(framer *http2.Framer) ([]byte, error) {
	const prefix = 5
	var data []byte
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return nil, err
		}
		switch frame := frame.(type) {
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return nil, fmt.Errorf("refused: %v", frame)
		case *http2.DataFrame:
			data = append(data, frame.Data()...)
		case *http2.HeadersFrame:
			if frame.StreamEnded() && len(data) < prefix {
				return nil, errors.New("ended without a message")
			}
			if frame.StreamEnded() {
				return data[prefix:], nil
			}
		}
	}
}

func TestBothAPIsAreServedUnderAuthoritiesThatGrpcGoNeverSends(t *testing.T) {
	daemon := harness.StartDaemon(t, harness.StartEmulator(t))
	const oneFrame = 16_384
	for name, raw := range map[string]byHand{
		"empty":                             {daemon.Socket, []hpack.HeaderField{header(":authority", "")}, oneFrame},
		"missing":                           {daemon.Socket, nil, oneFrame},
		"bad, in a block of several frames": {daemon.Socket, []hpack.HeaderField{header(":authority", "%2Fopt%2Fkms")}, 40},
	} {
		t.Run(name, func(t *testing.T) {
			client{kmsv1.NewKeyManagementServiceClient(raw), kmsv2.NewKeyManagementServiceClient(raw)}.roundTrips(t)
		})
	}
}
