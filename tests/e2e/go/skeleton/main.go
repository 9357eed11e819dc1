// skeleton - a server that embeds what is generated and answers one call itself.
//
// SPDX-License-Identifier: Apache-2.0
package main

import (
	"context"
	"log"
	"net"

	pb "github.com/cumulus/orchestrator/proto"
	"google.golang.org/grpc"
)

type server struct {
	pb.UnimplementedOrchestratorServiceServer
}

func (server) HealthCheck(context.Context, *pb.HealthCheckRequest) (*pb.HealthStatus, error) {
	return &pb.HealthStatus{Status: "healthy"}, nil
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s := grpc.NewServer()
	pb.RegisterOrchestratorServiceServer(s, server{})
	log.Fatal(s.Serve(listener))
}
