// client - submits the ZIP named by its second argument to the address named by the first,
// and prints what it hears: one line for each event, then the status.
//
// SPDX-License-Identifier: Apache-2.0
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	pb "github.com/cumulus/orchestrator/proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

func main() {
	code, err := os.ReadFile(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	conn, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()

	stream, err := pb.NewOrchestratorServiceClient(conn).SubmitJob(ctx, &pb.JobSubmission{
		CodePackage: code, GpuMemory: 0.5, Duration: 60})
	if err != nil {
		log.Fatal(err)
	}
	for {
		event, err := stream.Recv()
		if err == io.EOF {
			fmt.Println("OK")
			return
		}
		if err != nil {
			fmt.Println(status.Code(err), err)
			os.Exit(1)
		}
		fmt.Println(event.State, event.JobId, event.Message, string(event.Result))
	}
}
