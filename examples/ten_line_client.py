import io, os, zipfile, grpc
from sdk.proto import orchestrator_pb2 as pb, orchestrator_pb2_grpc as rpc
code = io.BytesIO()
with zipfile.ZipFile(code, "w") as z:
    z.writestr("main.py", "import numpy\ndef main():\n    print('hello')\n    return int(numpy.arange(10).sum())\n")
stub = rpc.OrchestratorServiceStub(grpc.insecure_channel(os.environ.get("CUMULUS_ADDRESS", "localhost:50051")))
for event in stub.SubmitJob(pb.JobSubmission(code_package=code.getvalue(), requirements=["numpy"], gpu_memory=0.5, duration=60)):
    print(pb.JobState.Name(event.state), event.message, event.result.decode(), flush=True)
    if event.state == pb.COMPLETED:
        break
