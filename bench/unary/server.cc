/* server.cc - a gRPC C++ server: a fixed answer to a unary call, an open stream to another. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage: server_cc <file with the answer, framed>.  Prints its port.  The callback API, bytes
 * in and out: no protobuf is read or written.
 */
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

static grpc::ByteBuffer answer;

/* GetJobStatus is answered at once; WatchJob gets one message and stays open. */
class Reactor : public grpc::ServerGenericBidiReactor {
      public:
	explicit Reactor(bool stays) : stays_(stays) { StartRead(&request_); }
	void OnReadDone(bool ok) override
	{
		if (!ok)
			return;
		if (stays_)
			StartWrite(&answer);
		else
			StartWriteAndFinish(&answer, {}, grpc::Status::OK);
	}
	void OnCancel() override
	{
		if (stays_)
			Finish(grpc::Status::CANCELLED);
	}
	void OnDone() override { delete this; }

      private:
	bool stays_;
	grpc::ByteBuffer request_;
};

class Service : public grpc::CallbackGenericService {
	grpc::ServerGenericBidiReactor *CreateReactor(
		grpc::GenericCallbackServerContext *context) override
	{
		return new Reactor(context->method().find("/WatchJob") != std::string::npos);
	}
};

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	std::ifstream file(argv[1], std::ios::binary);
	std::string framed((std::istreambuf_iterator<char>(file)), {});
	grpc::Slice slice(framed.substr(5)); /* gRPC frames it again */
	answer = grpc::ByteBuffer(&slice, 1);

	Service service;
	grpc::ServerBuilder builder;
	int port = 0;
	builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
	builder.RegisterCallbackGenericService(&service);
	auto server = builder.BuildAndStart();
	std::printf("%d\n", port);
	std::fflush(stdout);
	server->Wait();
	return 0;
}
